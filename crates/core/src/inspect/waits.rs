//! What suspended work waits for, in words.
//!
//! A table for the whole process, in shards: whatever waits enters it when it is first
//! suspended, and leaves it when it goes on or is dropped. What is ready at once costs nothing.

use super::{
    clock::Tick,
    current::{self, WorkId},
};
use crate::sync::unmodelled::{Mutex, lock};
use pin_project_lite::pin_project;
use slab::Slab;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context, Poll},
};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// Nothing but the label is known.
    Unknown,
    /// A registered resource.
    Resource(usize),
    /// Other work.
    Work(WorkId),
}

/// One wait, as it stands in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) work: Option<WorkId>,
    pub(crate) label: &'static str,
    pub(crate) at: &'static Location<'static>,
    pub(crate) since: Tick,
    pub(crate) target: Target,
}

const SHARDS: usize = 16;

static TABLE: [Mutex<Slab<Entry>>; SHARDS] = [const { Mutex::new(Slab::new()) }; SHARDS];

/// A wait in the table; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    shard: usize,
    key: usize,
    work: Option<WorkId>,
}

impl Entered {
    pub(crate) fn new(label: &'static str, at: &'static Location<'static>, target: Target) -> Self {
        let work = current::work();
        let shard = work.map_or(0, |work| work.shard(SHARDS));
        let entry = Entry { work, label, at, since: Tick::now(), target };
        let key = lock(&TABLE[shard]).insert(entry);
        Self { shard, key, work }
    }

    /// Whether it is a wait of the work that calls this.
    pub(crate) fn is_of_caller(&self) -> bool {
        self.work == current::work()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&TABLE[self.shard]).remove(self.key);
    }
}

/// All waits of known work, by the work that waits.
pub(crate) fn by_work() -> HashMap<WorkId, Vec<Entry>> {
    let mut waits = HashMap::<_, Vec<_>>::new();
    for shard in &TABLE {
        for (_, entry) in &*lock(shard) {
            if let Some(work) = entry.work {
                waits.entry(work).or_default().push(*entry);
            }
        }
    }
    waits
}

/// The waits of `work` alone.
pub(crate) fn of(work: WorkId) -> Vec<Entry> {
    let entries = lock(&TABLE[work.shard(SHARDS)]);
    entries.iter().map(|(_, entry)| *entry).filter(|entry| entry.work == Some(work)).collect()
}

/// Tells the [inspection](super) what the calling work waits for while `future` is suspended.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::convert::Infallible;
/// use tidegate_core::{Cx, inspect, scope};
/// use tokio::{sync::oneshot, task::yield_now};
///
/// let job = scope("job", async |cx: Cx<Infallible>| {
///     let (reply, answer) = oneshot::channel();
///     cx.spawn("ask", async { Ok(inspect::waiting("the answer", answer).await.unwrap()) });
///     yield_now().await;
///     let text = cx.tree().to_string();
///     assert!(text.contains("waiting for \"the answer\" at "), "{text}");
///     reply.send(42).unwrap();
///     Ok(())
/// });
/// job.await.unwrap();
/// # }
/// ```
///
/// # Cancel safety
///
/// As cancel safe as `future`, which is dropped with this one. Tested by `waiting_for_something`.
#[track_caller]
pub fn waiting<F: Future>(label: &'static str, future: F) -> Waiting<F> {
    Waiting::new(label, Location::caller(), Target::Unknown, future)
}

pin_project! {
    /// A future that says what it waits for; made by [`waiting`] and
    /// [`Resource::waiting`](super::Resource::waiting).
    #[must_use = "futures do nothing unless awaited"]
    pub struct Waiting<F> {
        #[pin]
        future: F,
        label: &'static str,
        at: &'static Location<'static>,
        target: Target,
        entered: Option<Entered>,
    }
}

impl<F> Waiting<F> {
    pub(crate) fn new(
        label: &'static str,
        at: &'static Location<'static>,
        target: Target,
        future: F,
    ) -> Self {
        Self { future, label, at, target, entered: None }
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.future.poll(cx);
        if polled.is_ready() {
            *this.entered = None;
        } else if !this.entered.as_ref().is_some_and(Entered::is_of_caller) {
            // First here: a future that moves to other work leaves the table for that moment.
            *this.entered = None;
            *this.entered = Some(Entered::new(this.label, this.at, *this.target));
        }
        polled
    }
}

impl<F> fmt::Debug for Waiting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("label", &self.label).finish_non_exhaustive()
    }
}
