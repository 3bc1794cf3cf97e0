//! What runs a child, and gives its record back however it ends.

use super::{
    TaskError,
    node::ScopeNode,
    registry::{self, Key},
    slots::Closed,
    vault::Vault,
};
use crate::{
    TaskPanic,
    cancel::SharedError,
    inspect::{Doing, Left, Run, Tick, WorkId, run},
    panic::{Caught, catch},
    sync::Arc,
};
use pin_project_lite::pin_project;
use std::{
    fmt::{Debug, Display},
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What came out of user code: its result, or its panic.
type Outcome<T, E> = Result<Result<T, E>, Box<Caught>>;

/// What came of dropping it.
type Dropped = Result<(), Box<Caught>>;

/// What a child hands to the runtime: its value, unless that lies in the vault.
pub(super) type Output<T, E> = Result<Option<T>, TaskError<E>>;

/// A child's record in its scope, until an [`Ending`] gives it back.
///
/// The runtime allocates a child in steps of 128 bytes, of which it needs some 90 itself: what
/// a child needs rarely is in the record, and what it does need lies close together.
pub(super) struct Lease {
    node: Arc<ScopeNode>,
    key: Key,
    /// Whether the record has the child's waker.
    is_parked: bool,
}

impl Lease {
    pub(super) fn new(node: Arc<ScopeNode>, key: Key) -> Self {
        Self { node, key, is_parked: false }
    }

    pub(super) fn id(&self) -> WorkId {
        self.node.outside().child(self.key)
    }

    /// What the calling thread runs from now on is the child's.
    fn run(&self) -> Run {
        run(self.id(), Tick::now())
    }

    /// The same for a poll, which is counted. Tells what a scope has left to the child, too.
    fn poll<R>(&mut self, poll: impl FnOnce(&mut Self) -> R) -> (R, Left) {
        let began = Tick::now();
        let run = run(self.id(), began);
        let result = poll(self);
        let left = run.end();
        if began.is_known() {
            self.node.count_poll(self.key, began);
        }
        (result, left)
    }
}

/// The end of a child, which gives its record back after all that the user's code owned was
/// dropped.
struct Ending<'a> {
    lease: Lease,
    how: registry::End<'a>,
    /// What a scope has left to it.
    left: Left,
}

impl Ending<'_> {
    fn of(lease: Lease) -> Self {
        Self { lease, how: registry::End::Other, left: Left::default() }
    }

    /// Enters what came out of the work and of its destructor, and hands the result over.
    fn end<T, E>(self, ended: Outcome<T, E>, dropped: Dropped) -> Output<T, E>
    where
        T: Send + 'static,
        E: Display + Debug + Send + Sync + 'static,
    {
        let result = match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = Arc::new(error);
                let shared: Arc<dyn SharedError> = Arc::clone(&error) as _;
                self.lease.node.failed(Some(self.lease.key), &shared, &self.left);
                Err(TaskError::Failed(error))
            }
            Err(caught) => Err(TaskError::Panicked(self.panicked(*caught))),
        };
        let dropped = dropped.map_err(|caught| TaskError::Panicked(self.panicked(*caught)));
        match (result, dropped) {
            (Ok(value), Ok(())) => {
                let delivered = self.deliver(value).map_err(TaskError::Panicked)?;
                self.lease.node.succeeded(self.lease.key);
                Ok(delivered)
            }
            (Ok(value), Err(panic)) => {
                // The scope has the panic of its destructor; the task has one already.
                let _ = self.discard(value);
                self.forget_vault::<T>();
                Err(panic)
            }
            (Err(error), _) => {
                self.forget_vault::<T>();
                Err(error)
            }
        }
    }

    /// Without a value its vault is of no use; the seat would keep it for the next child.
    fn forget_vault<T: Send + 'static>(&self) {
        drop(Vault::<T>::of(&self.lease.node, self.lease.key));
    }

    /// The work was dropped before it ended.
    fn abort<E>(self, doing: Option<Doing>, dropped: Dropped) -> TaskError<E> {
        match dropped {
            Ok(()) => {
                self.lease.node.note_aborted(Some(self.lease.key), doing);
                TaskError::Aborted
            }
            Err(caught) => TaskError::Panicked(self.panicked(*caught)),
        }
    }

    /// The work never ran, since its scope was cancelled before it could.
    fn refuse<E>(self, dropped: Dropped) -> TaskError<E> {
        let Lease { node, key, .. } = &self.lease;
        let (name, at, kind) = node.whereabouts(*key);
        let cause = node.refuse(name, at, kind);
        match dropped {
            Ok(()) => TaskError::Cancelled(cause),
            Err(caught) => TaskError::Panicked(self.panicked(*caught)),
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
        catch(|| drop(value)).map_err(|caught| self.panicked(*caught))
    }

    fn panicked(&self, caught: Caught) -> TaskPanic {
        let (panic, payload) = self.lease.node.panicked(Some(self.lease.key), caught, &self.left);
        self.lease.node.dispose(&panic, payload);
        panic
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Lease { node, key, .. } = &self.lease;
        node.release(*key, self.how);
    }
}

/// What a child waits for before its future is polled for the first time.
pub(super) trait Gate {
    /// Ready when the future may run, or is not to run at all.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), Closed>>;

    /// The future is dropped. Not left to the destructor, which runs when the runtime lets go of
    /// the child: that may be after others have heard of its end, who count on a free place.
    fn leave(&mut self);
}

/// The gate of a child that may run at once.
pub(super) struct Open;

impl Gate for Open {
    fn poll(&mut self, _: &Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn leave(&mut self) {}
}

pin_project! {
    /// A child's future, caught and counted. However it goes, by its own end, by an abort or
    /// with its runtime, its lease ends after its future was dropped.
    pub(super) struct Child<F, G> {
        #[pin]
        future: Option<F>,
        gate: G,
        lease: Option<Lease>,
    }

    impl<F, G> PinnedDrop for Child<F, G> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(lease) = this.lease.take() else { return };
            let run = lease.run();
            let (doing, dropped) = cut_off(&lease, this.future.as_mut());
            drop(run);
            let _: TaskError<()> = Ending::of(lease).abort(Some(*doing), dropped);
        }
    }
}

impl<F, G> Child<F, G> {
    pub(super) fn new(future: F, gate: G, lease: Lease) -> Self {
        Self { future: Some(future), gate, lease: Some(lease) }
    }
}

/// How the future of a child came to its end; it is dropped by then.
enum End<T, E> {
    Itself(Outcome<T, E>, Dropped),
    Aborted(Box<Doing>, Dropped),
    /// It never ran: the gate was closed.
    Refused(Dropped),
}

/// Drops the future, whose destructor is user code and belongs to the child: it runs before the
/// scope hears that the child has ended.
fn drop_future<F>(mut future: Pin<&mut Option<F>>) -> Dropped {
    catch(|| future.set(None))
}

/// The same before it has ended. What it waited for is forgotten with it.
#[cold]
fn cut_off<F>(lease: &Lease, future: Pin<&mut Option<F>>) -> (Box<Doing>, Dropped) {
    (Box::new(Doing::when_aborted(lease.id())), drop_future(future))
}

/// Polls the future, and drops it if it has ended or the scope is aborting.
fn step<F, G: Gate, T, E>(
    mut future: Pin<&mut Option<F>>,
    gate: &mut G,
    lease: &mut Lease,
    cx: &mut Context<'_>,
) -> Poll<End<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    if !lease.node.is_aborting() && future.is_some() {
        match gate.poll(cx) {
            Poll::Ready(Ok(())) => {
                if let Poll::Ready(end) = poll_or_drop(future.as_mut(), cx) {
                    return Poll::Ready(end);
                }
            }
            Poll::Ready(Err(Closed)) => return Poll::Ready(End::Refused(drop_future(future))),
            Poll::Pending => {}
        }
        // Once: the runtime polls a task with the same waker all its life.
        lease.is_parked = lease.is_parked || lease.node.park(lease.key, cx.waker());
        if lease.is_parked {
            return Poll::Pending;
        }
    }
    let (doing, dropped) = cut_off(lease, future);
    Poll::Ready(End::Aborted(doing, dropped))
}

/// Polls the future, and drops it when it has ended. One guard catches the panics of both: hardly
/// any future panics, and what comes out of it is kept outside.
fn poll_or_drop<F, T, E>(mut future: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<End<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut ended = None;
    let caught = catch(|| {
        if let Some(Poll::Ready(result)) = future.as_mut().as_pin_mut().map(|it| it.poll(cx)) {
            ended = Some(result);
            future.set(None);
        }
    });
    match (ended, caught) {
        (None, Ok(())) => Poll::Pending,
        (Some(result), dropped) => Poll::Ready(End::Itself(Ok(result), dropped)),
        (None, Err(caught)) => Poll::Ready(End::Itself(Err(caught), drop_future(future))),
    }
}

impl<F, G, T, E> Future for Child<F, G>
where
    F: Future<Output = Result<T, E>>,
    G: Gate,
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    type Output = Output<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(lease) = this.lease else { return Poll::Ready(Err(TaskError::Aborted)) };
        let (end, left) = lease.poll(|lease| step(this.future, this.gate, lease, cx));
        let end = ready!(end);
        this.gate.leave();
        let Some(lease) = this.lease.take() else { return Poll::Ready(Err(TaskError::Aborted)) };
        Poll::Ready(match end {
            End::Itself(ended, dropped) => {
                let (waker, is_parked) = (cx.waker(), lease.is_parked);
                let how = registry::End::Polled { waker, is_parked };
                Ending { lease, how, left }.end(ended, dropped)
            }
            End::Aborted(doing, dropped) => Err(Ending::of(lease).abort(Some(*doing), dropped)),
            End::Refused(dropped) => Err(Ending::of(lease).refuse(dropped)),
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
        let Some(lease) = self.lease.take() else { return Err(TaskError::Aborted) };
        match self.work.take() {
            Some(work) if !lease.node.is_aborting() => {
                let run = lease.run();
                let ended = catch(work);
                drop(run);
                Ending::of(lease).end(ended, Ok(()))
            }
            work => Err(drop_unrun(lease, work)),
        }
    }
}

/// Drops work that was not begun.
fn drop_unrun<W, E>(lease: Lease, work: Option<W>) -> TaskError<E> {
    let run = lease.run();
    let dropped = catch(|| drop(work));
    drop(run);
    Ending::of(lease).abort(None, dropped)
}

impl<W> Drop for Job<W> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            let _: TaskError<()> = drop_unrun(lease, self.work.take());
        }
    }
}
