//! Work that waits in a circle, found in a snapshot.

use super::{
    ResourceInfo, Snapshot, Wait, Work, WorkState,
    current::WorkId,
    graph::{self, Needs, Waits},
    text::Place,
};
use crate::WorkKind;
use std::{collections::HashMap, fmt, panic::Location};

/// Work that waits for each other in a circle; found by [`Snapshot::deadlocks`]. As text it has a
/// line for each.
#[derive(Clone, Debug)]
pub struct Deadlock(Vec<Link>);

/// One piece of work in a [`Deadlock`], which waits for the next one, and the last for the first.
#[derive(Clone, Debug)]
pub struct Link {
    work: usize,
    path: String,
    wait: Option<Wait>,
    resource: Option<String>,
    /// What it waits for: the path, and where that was spawned.
    next: String,
    next_at: &'static Location<'static>,
}

impl Snapshot {
    /// Work that waits for each other in a circle, as far as [resources](super::Resource), their
    /// holders and tasks that are awaited tell. A scope waits for all its children, and a task
    /// for the scope it runs.
    ///
    /// Whoever waits for several things at once is taken to be content with any of them. What
    /// nobody has told, such as a timeout around a wait, may still end the circle.
    #[must_use]
    pub fn deadlocks(&self) -> Vec<Deadlock> {
        // A circle has a wait in it: without one the graph, which takes its time, is none.
        let is_edge = |wait: &Wait| wait.resource.is_some() || wait.work.is_some();
        if !self.work().iter().flat_map(Work::waits).any(is_edge) {
            return Vec::new();
        }
        let cycles = graph::cycles(&self.graph());
        let deadlock = |cycle: Vec<usize>| {
            let nexts = cycle.iter().cycle().skip(1);
            Deadlock(cycle.iter().zip(nexts).map(|(work, next)| self.link(*work, *next)).collect())
        };
        cycles.into_iter().map(deadlock).collect()
    }

    fn graph(&self) -> Waits {
        let by_id: HashMap<_, _> =
            self.work().iter().enumerate().map(|(index, work)| (work.id, index)).collect();
        let mut waits = Waits::new();
        let mut needs_all = HashMap::<_, Vec<_>>::new();
        for (index, work) in self.work().iter().enumerate() {
            // What is polled right now goes on.
            if work.state() != WorkState::Running {
                let needs = work.waits().iter().map(|wait| self.needs(wait, &by_id));
                waits.entry(index).or_default().extend(needs);
            }
            if let Some(above) = work.parent().filter(|above| self.is_for_child(*above, work)) {
                needs_all.entry(above).or_default().push(index);
            }
        }
        for (index, children) in needs_all {
            waits.entry(index).or_default().push(Needs::AllOf(children));
        }
        waits
    }

    /// Whether the work at `above` ends only after `child`, which is right below it: a scope that
    /// joins, or a child that runs a scope.
    fn is_for_child(&self, above: usize, child: &Work) -> bool {
        let above = &self.work()[above];
        match above.state() {
            WorkState::Joining | WorkState::Orphaned => true,
            WorkState::Running => false,
            _ => child.kind() == WorkKind::Scope && above.kind() != WorkKind::Scope,
        }
    }

    fn needs(&self, wait: &Wait, by_id: &HashMap<WorkId, usize>) -> Needs {
        if let Some(work) = wait.work {
            return by_id.get(&work).map_or(Needs::Unknown, |work| Needs::AnyOf(vec![*work]));
        }
        let resource = self.resource_of(wait);
        let holders = resource.map(|resource| resource.holders().iter().copied().collect());
        // Who is not in the picture may well give it back.
        holders.flatten().map_or(Needs::Unknown, Needs::AnyOf)
    }

    fn resource_of(&self, wait: &Wait) -> Option<&ResourceInfo> {
        let key = wait.resource?;
        self.resources().iter().find(|resource| resource.key == key)
    }

    /// Why the work at `index` does not go on before that at `next`.
    fn link(&self, index: usize, next: usize) -> Link {
        let work = &self.work()[index];
        let holds = |resource: &ResourceInfo| resource.holders().contains(&Some(next));
        let is_for_next = |wait: &&Wait| {
            wait.work == Some(self.work()[next].id) || self.resource_of(wait).is_some_and(holds)
        };
        let wait = work.waits().iter().find(is_for_next).copied();
        let resource = wait.as_ref().and_then(|wait| self.resource_of(wait));
        let resource = resource.map(|resource| format!("{} {}", resource.kind(), resource.name()));
        let (path, next_at) = (self.path(index), self.work()[next].location());
        Link { work: index, path, wait, resource, next: self.path(next), next_at }
    }
}

impl Deadlock {
    /// Who waits, each for the next one.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.0
    }
}

impl Link {
    /// The work that waits, as an index into [`Snapshot::work`].
    #[must_use]
    pub fn work(&self) -> usize {
        self.work
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it waits for, and where; none, if it is a scope that waits for a child, or a child for
    /// the scope it runs.
    #[must_use]
    pub fn wait(&self) -> Option<&Wait> {
        self.wait.as_ref()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, wait, resource, next, .. } = self;
        write!(f, "{path} waits for ")?;
        if let (Some(wait), Some(resource)) = (wait, resource) {
            let (label, at) = (wait.label(), Place(wait.location()));
            return write!(f, "\"{label}\" ({resource}) at {at}, held by {next}");
        }
        if wait.is_none() {
            f.write_str("what is in it: ")?;
        }
        write!(f, "{next} (spawned at {})", Place(self.next_at))
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadlock:")?;
        self.0.iter().try_for_each(|link| write!(f, "\n  {link}"))
    }
}
