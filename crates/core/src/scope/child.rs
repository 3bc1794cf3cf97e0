//! What runs a child, and gives its record back however it ends.

use super::{TaskError, TaskInfo, node::ScopeNode, registry::Key, vault::Vault};
use crate::{
    TaskPanic,
    cancel::SharedError,
    inspect::{Doing, Polled, Tick, WorkId, during},
    panic::drop_quietly,
    sync::Arc,
};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    fmt::{Debug, Display},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
};

type Payload = Box<dyn Any + Send>;

/// What came out of user code: its result, or the payload of its panic.
type Outcome<T, E> = Result<Result<T, E>, Payload>;

/// What a child hands to the runtime: its value, unless that lies in the vault.
pub(super) type Output<T, E> = Result<Option<T>, TaskError<E>>;

/// A child's record in its scope, until an [`Ending`] gives it back.
///
/// The runtime allocates a child in steps of 128 bytes, of which it needs some 90 itself: what
/// a child needs rarely is in the record.
pub(super) struct Lease {
    node: Arc<ScopeNode>,
    key: Key,
    /// Whether the record has the child's waker.
    parked: bool,
    /// What the record is told of it when the clock has moved on.
    polled: Polled,
}

impl Lease {
    pub(super) fn new(node: Arc<ScopeNode>, key: Key) -> Self {
        Self { node, key, parked: false, polled: Polled::default() }
    }

    pub(super) fn id(&self) -> WorkId {
        self.node.outside().child(self.key)
    }

    /// Runs user code as that of the child.
    fn run<R>(&mut self, code: impl FnOnce() -> R) -> thread::Result<R> {
        let began = Tick::now();
        let result = during(self.id(), began, || catch_unwind(AssertUnwindSafe(code)));
        if self.polled.count(began) {
            self.node.count_polled(self.key, self.polled);
        }
        result
    }

    /// Leaves the waker for an abort, once: the runtime polls a task with the same waker all
    /// its life. False, if the scope is aborting.
    fn park(&mut self, waker: &Waker) -> bool {
        self.parked = self.parked || self.node.park(self.key, waker);
        self.parked
    }
}

/// The end of a child, which gives its record back after all that the user's code owned was
/// dropped.
struct Ending<'a> {
    lease: Lease,
    /// The waker of the child's task, if the child ends while it is polled.
    waker: Option<&'a Waker>,
    /// What it did before it was dropped.
    doing: Option<Doing>,
}

impl Ending<'_> {
    /// Enters what came out of the work and of its destructor, and hands the result over.
    fn end<T, E>(self, ended: Outcome<T, E>, dropped: thread::Result<()>) -> Output<T, E>
    where
        T: Send + 'static,
        E: Display + Debug + Send + Sync + 'static,
    {
        let result = match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = Arc::new(error);
                let shared: Arc<dyn SharedError> = Arc::clone(&error) as _;
                self.lease.node.failed(&self.describe(), &shared);
                Err(TaskError::Failed(error))
            }
            Err(payload) => Err(TaskError::Panicked(self.panicked(payload))),
        };
        let dropped = dropped.map_err(|payload| TaskError::Panicked(self.panicked(payload)));
        match (result, dropped) {
            (Ok(value), Ok(())) => self.deliver(value).map_err(TaskError::Panicked),
            (Ok(value), Err(panic)) => {
                // The scope has the panic of its destructor; the task has one already.
                let _ = self.discard(value);
                Err(panic)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The work was dropped before it ended.
    fn abort<E>(mut self, dropped: thread::Result<()>) -> TaskError<E> {
        match dropped {
            Ok(()) => {
                let doing = self.doing.take();
                self.lease.node.note_aborted(self.lease.key, doing);
                TaskError::Aborted
            }
            Err(payload) => TaskError::Panicked(self.panicked(payload)),
        }
    }

    /// A value that nobody wants is dropped here: its destructor is the child's, too.
    fn deliver<T: Send + 'static>(&self, value: T) -> Result<Option<T>, TaskPanic> {
        let Some(vault) = Vault::of(&self.lease.node, self.lease.key) else {
            return Ok(Some(value));
        };
        match Arc::try_unwrap(vault) {
            Ok(_) => self.discard(value),
            Err(vault) => {
                vault.put(value);
                self.discard(vault)
            }
        }
        .map(|()| None)
    }

    fn discard<V>(&self, value: V) -> Result<(), TaskPanic> {
        catch_unwind(AssertUnwindSafe(|| drop(value))).map_err(|payload| self.panicked(payload))
    }

    fn panicked(&self, payload: Payload) -> TaskPanic {
        let panic = self.lease.node.panicked(self.describe(), &*payload);
        drop_quietly(payload);
        panic
    }

    fn describe(&self) -> TaskInfo {
        self.lease.node.describe(self.lease.key)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Lease { node, key, parked, .. } = &self.lease;
        node.release(*key, self.waker.filter(|_| !parked).cloned());
    }
}

pin_project! {
    /// A child's future, caught and counted. However it goes, by its own end, by an abort or
    /// with its runtime, its lease ends after its future was dropped.
    pub(super) struct Child<F> {
        #[pin]
        future: Option<F>,
        lease: Option<Lease>,
    }

    impl<F> PinnedDrop for Child<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some((ending, dropped)) = this.finish(None, false) {
                let _: TaskError<()> = ending.abort(dropped);
            }
        }
    }
}

impl<F> Child<F> {
    pub(super) fn new(future: F, lease: Lease) -> Self {
        Self { future: Some(future), lease: Some(lease) }
    }

    /// Drops the future, whose destructor is user code and belongs to the child: it runs
    /// before the scope hears that the child has ended.
    fn finish<'a>(
        self: Pin<&mut Self>,
        waker: Option<&'a Waker>,
        has_ended: bool,
    ) -> Option<(Ending<'a>, thread::Result<()>)> {
        let mut this = self.project();
        let mut lease = this.lease.take()?;
        // What it waits for is forgotten when it is dropped.
        let doing = (!has_ended).then(|| Doing::when_aborted(lease.id()));
        let dropped = lease.run(|| this.future.set(None));
        Some((Ending { lease, waker, doing }, dropped))
    }
}

impl<F, T, E> Future for Child<F>
where
    F: Future<Output = Result<T, E>>,
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    type Output = Output<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let mut ended = None;
        if let (Some(future), Some(lease)) = (this.future.as_pin_mut(), this.lease.as_mut()) {
            if !lease.node.is_aborting() {
                match lease.run(|| future.poll(cx)) {
                    Ok(Poll::Ready(result)) => ended = Some(Ok(result)),
                    Err(payload) => ended = Some(Err(payload)),
                    Ok(Poll::Pending) if lease.park(cx.waker()) => return Poll::Pending,
                    Ok(Poll::Pending) => {}
                }
            }
        }
        let Some((ending, dropped)) = self.finish(Some(cx.waker()), ended.is_some()) else {
            return Poll::Ready(Err(TaskError::Aborted));
        };
        Poll::Ready(match ended {
            Some(ended) => ending.end(ended, dropped),
            None => Err(ending.abort(dropped)),
        })
    }
}

/// Blocking work with its lease, which ends after the work was run or dropped.
pub(super) struct Job<W> {
    work: Option<W>,
    lease: Option<Lease>,
}

impl<W> Job<W> {
    pub(super) fn new(work: W, lease: Lease) -> Self {
        Self { work: Some(work), lease: Some(lease) }
    }

    /// Runs the work on the calling thread, unless the scope is aborting already.
    pub(super) fn run<T, E>(mut self) -> Output<T, E>
    where
        W: FnOnce() -> Result<T, E>,
        T: Send + 'static,
        E: Display + Debug + Send + Sync + 'static,
    {
        let ended = match (&mut self.lease, &mut self.work) {
            (Some(lease), work) if !lease.node.is_aborting() => {
                work.take().map(|work| lease.run(work))
            }
            _ => None,
        };
        match (self.finish(), ended) {
            (Some((ending, dropped)), Some(ended)) => ending.end(ended, dropped),
            (Some((ending, dropped)), None) => Err(ending.abort(dropped)),
            (None, _) => Err(TaskError::Aborted),
        }
    }

    fn finish(&mut self) -> Option<(Ending<'static>, thread::Result<()>)> {
        let (work, mut lease) = (self.work.take(), self.lease.take()?);
        let dropped = lease.run(|| drop(work));
        Some((Ending { lease, waker: None, doing: None }, dropped))
    }
}

impl<W> Drop for Job<W> {
    fn drop(&mut self) {
        if let Some((ending, dropped)) = self.finish() {
            let _: TaskError<()> = ending.abort(dropped);
        }
    }
}
