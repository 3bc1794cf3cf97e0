//! Things that work waits for, under a name, with who holds them.

use super::{
    current::{self, WorkId},
    waits::{Target, Waiting},
};
use crate::{
    Name,
    panic::quietly,
    sync::unmodelled::{Mutex, lock},
};
use slab::Slab;
use std::{
    fmt,
    panic::Location,
    sync::{Arc, Weak},
};

type Details = Box<dyn Fn() -> Vec<(&'static str, String)> + Send + Sync>;

static RESOURCES: Mutex<Slab<Weak<Inner>>> = Mutex::new(Slab::new());

/// A thing that work shares and waits for, such as a pool, a limiter or a lock, as the
/// [inspection](super) knows it. Cheap to clone; it is forgotten with the last clone and hold.
///
/// Say who [holds](Self::hold) it and who [waits](Self::waiting) for it, and a
/// [snapshot](super::Snapshot) names both, and finds work that waits in a circle.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{convert::Infallible, sync::Arc};
/// use tidegate_core::{Cx, inspect::Resource, scope};
/// use tokio::{sync::{Mutex, Notify}, task::yield_now};
///
/// let accounts = [(); 2].map(|()| Arc::new(Mutex::new(100)));
/// let names = [Resource::new("account", "Ann's"), Resource::new("account", "Bob's")];
/// let job = scope("transfers", async |cx: Cx<Infallible>| {
///     for (from, to) in [(0, 1), (1, 0)] {
///         let (accounts, names) = (accounts.clone(), names.clone());
///         cx.spawn(format!("{from} to {to}"), async move {
///             let _from = accounts[from].lock().await;
///             let _held = names[from].hold();
///             yield_now().await;
///             let _to = names[to].waiting("the other account", accounts[to].lock()).await;
///             Ok(())
///         });
///     }
///     yield_now().await;
///     yield_now().await;
///     for deadlock in cx.tree().deadlocks() {
///         println!("{deadlock}"); // Which tasks, where each waits, and who holds what.
///     }
///     assert_eq!(cx.tree().deadlocks().len(), 1);
///     cx.cancel("it would wait for ever");
///     Ok(())
/// });
/// # tokio::time::pause();
/// assert_eq!(job.await.unwrap_err().report().aborted().len(), 2);
/// # }
/// ```
#[derive(Clone)]
pub struct Resource(Arc<Inner>);

struct Inner {
    key: usize,
    kind: &'static str,
    name: Name,
    at: &'static Location<'static>,
    owner: Option<WorkId>,
    details: Option<Details>,
    holders: Mutex<Slab<Option<WorkId>>>,
}

/// What a snapshot sees of a resource.
pub(super) struct Seen {
    pub(super) key: usize,
    pub(super) kind: &'static str,
    pub(super) name: Name,
    pub(super) at: &'static Location<'static>,
    pub(super) owner: Option<WorkId>,
    pub(super) details: Vec<(&'static str, String)>,
    pub(super) holders: Vec<Option<WorkId>>,
}

impl Seen {
    /// The work that it names.
    pub(super) fn work(&self) -> impl Iterator<Item = WorkId> {
        self.holders.iter().copied().chain([self.owner]).flatten()
    }
}

impl Resource {
    /// Registers a resource of that kind, such as `pool`, and name. It belongs to the work that
    /// calls this, if any.
    #[track_caller]
    pub fn new(kind: &'static str, name: impl Into<Name>) -> Self {
        Self::register(kind, name.into(), Location::caller(), None)
    }

    /// The same, with numbers or states that a snapshot shows. `details` is called by whoever
    /// takes a snapshot: it must be short, and must not hold a `Resource` of its own.
    #[track_caller]
    pub fn with_details(
        kind: &'static str,
        name: impl Into<Name>,
        details: impl Fn() -> Vec<(&'static str, String)> + Send + Sync + 'static,
    ) -> Self {
        Self::register(kind, name.into(), Location::caller(), Some(Box::new(details)))
    }

    /// The same for one that was asked for at that place in the source.
    pub(crate) fn register(
        kind: &'static str,
        name: Name,
        at: &'static Location<'static>,
        details: Option<Details>,
    ) -> Self {
        let owner = current::work();
        let mut resources = lock(&RESOURCES);
        let slot = resources.vacant_entry();
        let (key, holders) = (slot.key(), Mutex::new(Slab::new()));
        let inner = Arc::new(Inner { key, kind, name, at, owner, details, holders });
        slot.insert(Arc::downgrade(&inner));
        Self(inner)
    }

    /// Says that the calling work holds the resource, or a part of it, until the [`Hold`] is
    /// dropped.
    pub fn hold(&self) -> Hold {
        let key = lock(&self.0.holders).insert(current::work());
        Hold { resource: Arc::clone(&self.0), key }
    }

    /// What who waits for it waits for.
    pub(crate) fn target(&self) -> Target {
        Target::Resource(self.0.key)
    }

    /// Tells what the calling work waits for while `future` is suspended: this resource.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`, which is dropped with this one. Tested by
    /// `waiting_for_something`.
    #[track_caller]
    pub fn waiting<F: Future>(&self, label: &'static str, future: F) -> Waiting<F> {
        self.waiting_at(label, Location::caller(), future)
    }

    /// The same for what is awaited at that place in the source.
    pub(crate) fn waiting_at<F: Future>(
        &self,
        label: &'static str,
        at: &'static Location<'static>,
        future: F,
    ) -> Waiting<F> {
        Waiting::new(label, at, self.target(), future)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, name, .. } = &*self.0;
        f.debug_struct("Resource").field("kind", kind).field("name", name).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        lock(&RESOURCES).remove(self.key);
    }
}

/// Says that some work holds a [`Resource`] for as long as it lives.
#[must_use = "it holds the resource until it is dropped"]
pub struct Hold {
    resource: Arc<Inner>,
    key: usize,
}

impl Hold {
    /// Says that the calling work holds the resource from now on: call it where a guard has
    /// moved to another task.
    pub fn take_over(&mut self) {
        lock(&self.resource.holders)[self.key] = current::work();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.resource.holders).remove(self.key);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("resource", &self.resource.name).finish_non_exhaustive()
    }
}

/// All resources, in the order they were registered in as far as numbers are not used again.
pub(super) fn all() -> Vec<Seen> {
    let resources: Vec<_> =
        lock(&RESOURCES).iter().filter_map(|(_, resource)| resource.upgrade()).collect();
    resources.iter().map(|inner| inner.seen()).collect()
}

impl Inner {
    fn seen(&self) -> Seen {
        let Self { key, kind, ref name, at, owner, .. } = *self;
        let mut details = Vec::new();
        if let Some(tell) = &self.details {
            // It belongs to somebody else, who may not expect a panic of it here.
            if !quietly(|| details = tell()) {
                details.push(("details", "panicked".to_owned()));
            }
        }
        let holders = lock(&self.holders).iter().map(|(_, holder)| *holder).collect();
        Seen { key, kind, name: name.clone(), at, owner, details, holders }
    }
}
