//! A picture of everything that runs.

use super::{
    clock::Tick,
    current::{self, WorkId},
    resource, waits,
    work::{Doing, Tree, Work},
};
use crate::{
    Name, Straggler, WorkKind,
    path::{Path, below},
    scope::{Home, ScopeNode, Seen, look, roots},
    sync::Arc,
};
use std::{
    collections::{HashMap, HashSet},
    panic::Location,
};

/// A picture of scopes, of the work in them, and of registered [resources](super::Resource).
///
/// Its work is in the order of a tree read from the top: a scope, or the work that runs one, comes
/// before what is in it, and what was spawned first comes first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{convert::Infallible, future::pending};
/// use tidegate_core::{Cx, inspect::Snapshot, scope};
/// use tokio::task::yield_now;
///
/// let server = scope("server", async |cx: Cx<Infallible>| {
///     let accept = cx.clone();
///     cx.spawn("accept", async move { Ok(drop(accept.cancelled().await)) });
///     yield_now().await;
///     println!("{}", Snapshot::take());
///     let names: Vec<_> = cx.tree().work().iter().map(|work| work.name().to_string()).collect();
///     assert_eq!(names, ["server", "accept"]);
///     cx.cancel("the example ends");
///     Ok(())
/// });
/// server.await.unwrap();
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    work: Vec<Work>,
    resources: Vec<ResourceInfo>,
}

/// A registered [resource](super::Resource) in a [`Snapshot`].
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    pub(super) key: usize,
    kind: &'static str,
    name: Name,
    at: &'static Location<'static>,
    owner: Option<usize>,
    details: Vec<(&'static str, String)>,
    holders: Vec<Option<usize>>,
}

impl Snapshot {
    /// A picture of the whole process: of all root scopes, and what is in them.
    #[must_use]
    pub fn take() -> Self {
        Self::build(look(roots()), true)
    }

    /// A picture of one scope.
    pub(crate) fn of(scope: &Arc<ScopeNode>) -> Self {
        Self::build(look(vec![Arc::clone(scope)]), false)
    }

    /// All work, as a tree read from the top.
    #[must_use]
    pub fn work(&self) -> &[Work] {
        &self.work
    }

    /// The registered resources; in the picture of one scope those that were registered in it, or
    /// that something in it holds or waits for.
    #[must_use]
    pub fn resources(&self) -> &[ResourceInfo] {
        &self.resources
    }

    /// The path of `work()[index]`, such as `/server/conn-7`: see [`Cx::path`](crate::Cx::path).
    ///
    /// # Panics
    ///
    /// If there is no such work.
    #[must_use]
    pub fn path(&self, index: usize) -> String {
        let mut names = Vec::new();
        let mut next = Some(index);
        while let Some(index) = next {
            names.push(self.work[index].name());
            next = self.work[index].scope();
        }
        names.iter().rev().fold(String::new(), |path, name| below(path, name))
    }

    /// What is left of root scopes of that runtime whose future was dropped.
    pub(crate) fn orphans(&self, home: Home) -> Vec<Straggler> {
        // By the scope it is in, not by the work that opened that: this may go on.
        let mut is_orphan = Vec::with_capacity(self.work.len());
        for work in &self.work {
            let of_above = work.scope().map(|scope| is_orphan[scope]);
            is_orphan.push(of_above.unwrap_or_else(|| work.is_orphan_of(home)));
        }
        let is_left =
            |(index, work): &(usize, &Work)| is_orphan[*index] && work.kind() != WorkKind::Scope;
        let left = self.work.iter().enumerate().filter(is_left);
        self.named(left.map(|(index, _)| index))
    }

    /// What holds the scopes open: children that are no scopes, bodies, and scopes with nothing
    /// in them whose future waits to be polled.
    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        let mut has_children = vec![false; self.work.len()];
        self.work.iter().filter_map(Work::scope).for_each(|scope| has_children[scope] = true);
        let holds = |(index, work): &(usize, &Work)| match work.kind() {
            WorkKind::Scope => work.has_body() || (!has_children[*index] && work.is_driven()),
            _ => true,
        };
        let found = self.work.iter().enumerate().filter(holds);
        self.named(found.map(|(index, _)| index))
    }

    /// These as stragglers. Their paths share what they have in common.
    fn named(&self, found: impl Iterator<Item = usize>) -> Vec<Straggler> {
        let mut paths: Vec<Path> = Vec::with_capacity(self.work.len());
        for work in &self.work {
            let name = work.name().clone();
            // A scope comes before what is in it.
            paths.push(match work.scope() {
                Some(scope) => paths[scope].below(name),
                None => Path::root(name),
            });
        }
        found.map(|index| self.work[index].straggler(paths[index].clone())).collect()
    }

    fn build(seen: Vec<Seen>, is_whole: bool) -> Self {
        let now = Tick::now();
        let (order, indices) = tree(&seen);
        let (running, mut waits) = (current::running(), waits::by_work());
        let mut work: Vec<Work> = Vec::with_capacity(seen.len());
        let mut seen: Vec<_> = seen.into_iter().map(Some).collect();
        for Place { index, parent, depth } in order {
            let Some(seen) = seen[index].take() else { continue };
            let waits = waits.remove(&seen.id).unwrap_or_default();
            let since = running.get(&seen.id).copied();
            let scope = seen.scope.map(|scope| indices[scope]);
            let doing = Doing::new(&seen, now, since, &waits);
            work.push(Work::new(seen, Tree { parent, scope, depth }, now, doing));
        }
        let resources = resource::all();
        let named = resources.iter().flat_map(resource::Seen::work).collect();
        let at = places(work.iter().map(|work| work.id), &named);
        let resources = resources.into_iter().map(|seen| ResourceInfo::new(seen, &at));
        let waited_for: HashSet<_> =
            work.iter().flat_map(Work::waits).filter_map(|wait| wait.resource).collect();
        let resources = resources.filter(|resource| {
            let is_held = resource.holders.iter().any(Option::is_some);
            is_whole || is_held || resource.owner.is_some() || waited_for.contains(&resource.key)
        });
        Self { resources: resources.collect(), work }
    }
}

/// Where those of `all` are that are `wanted`, which are few: a table of all would take longer
/// than the look at them.
fn places(all: impl Iterator<Item = WorkId>, wanted: &HashSet<WorkId>) -> HashMap<WorkId, usize> {
    if wanted.is_empty() {
        return HashMap::new();
    }
    all.enumerate().filter(|(_, id)| wanted.contains(id)).map(|(n, id)| (id, n)).collect()
}

/// Where in the tree something comes that was seen at `index`.
struct Place {
    index: usize,
    parent: Option<usize>,
    depth: usize,
}

/// The order of a tree read from the top, and the place in it of everything that was seen.
fn tree(seen: &[Seen]) -> (Vec<Place>, Vec<usize>) {
    let openers = seen.iter().filter_map(|work| work.open.as_ref()?.opener).collect();
    let by_id = places(seen.iter().map(|work| work.id), &openers);
    let mut children = vec![Vec::new(); seen.len()];
    let mut roots = Vec::new();
    for (index, work) in seen.iter().enumerate() {
        // A scope stands below the child that runs it, if both are in the same scope.
        let opener = work.open.as_ref().and_then(|open| by_id.get(&open.opener?).copied());
        let opener = opener.filter(|opener| seen[*opener].scope == work.scope && *opener != index);
        match opener.or(work.scope) {
            Some(parent) => children[parent].push(index),
            None => roots.push(index),
        }
    }
    for children in &mut children {
        children.sort_by_key(|child| seen[*child].turn);
    }
    let mut places = vec![0; seen.len()];
    let mut order = Vec::with_capacity(seen.len());
    let mut stack: Vec<_> = roots.into_iter().rev().map(|index| (index, None, 0)).collect();
    while let Some((index, parent, depth)) = stack.pop() {
        places[index] = order.len();
        let own = Some(order.len());
        stack.extend(children[index].iter().rev().map(|child| (*child, own, depth + 1)));
        order.push(Place { index, parent, depth });
    }
    (order, places)
}

impl ResourceInfo {
    fn new(seen: resource::Seen, at: &HashMap<WorkId, usize>) -> Self {
        let index = |work: Option<WorkId>| at.get(&work?).copied();
        Self {
            key: seen.key,
            kind: seen.kind,
            name: seen.name,
            at: seen.at,
            owner: index(seen.owner),
            details: seen.details,
            holders: seen.holders.into_iter().map(index).collect(),
        }
    }

    /// What kind of resource it is, such as `pool`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it was registered.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// The work it was registered by, as an index into [`Snapshot::work`], if that is there.
    #[must_use]
    pub fn owner(&self) -> Option<usize> {
        self.owner
    }

    /// What it says of itself.
    #[must_use]
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.details
    }

    /// Who holds it, or a part of it, as indices into [`Snapshot::work`]; `None` for what is
    /// not there.
    #[must_use]
    pub fn holders(&self) -> &[Option<usize>] {
        &self.holders
    }
}
