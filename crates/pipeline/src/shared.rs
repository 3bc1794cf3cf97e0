//! What the workers of one run share: what to do about errors, and how to stop.

use crate::{
    ItemError, ItemErrorKind, OnError, Reason,
    panic::{caught, drop_quietly},
    queue::Sweep,
    stats::StageCell,
    trace,
};
use std::{
    convert::Infallible,
    fmt::{Debug, Display},
    future::Future,
};
use tidegate_core::{
    CancelToken, Cause, Cx, Name,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        lock,
    },
};

/// How much is kept of what goes wrong after the run was ended: items that fail, and panics.
const ALSO_MAX: usize = 16;

type Callback<E> = Arc<dyn Fn(&ItemError<E>) + Send + Sync>;
type Predicate<E> = Arc<dyn Fn(&E) -> bool + Send + Sync>;

/// What a run does about items that fail.
pub(crate) struct Policy<E> {
    pub(crate) on_error: OnError,
    /// Called with each of them.
    pub(crate) callback: Option<Callback<E>>,
    /// Which errors end the run all the same.
    pub(crate) fatal: Option<Predicate<E>>,
}

impl<E> Default for Policy<E> {
    fn default() -> Self {
        Self { on_error: OnError::default(), callback: None, fatal: None }
    }
}

pub(crate) struct RunShared<E> {
    policy: Policy<E>,
    token: CancelToken,
    log: Mutex<Log<E>>,
    source_ended: AtomicBool,
}

/// Why the run ended, and what else went wrong.
pub(crate) struct Log<E> {
    pub(crate) fatal: Option<Reason<E>>,
    /// Items that failed and did not end the run.
    pub(crate) errors: Vec<ItemError<E>>,
    /// Panics after the end.
    pub(crate) also: Vec<Reason<E>>,
}

impl<E> Default for Log<E> {
    fn default() -> Self {
        Self { fatal: None, errors: Vec::new(), also: Vec::new() }
    }
}

impl<E> RunShared<E> {
    pub(crate) fn new(policy: Policy<E>, token: CancelToken) -> Self {
        let log = Mutex::new(Log::default());
        Self { policy, token, log, source_ended: AtomicBool::new(false) }
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The source has yielded its last item.
    pub(crate) fn source_has_ended(&self) {
        self.source_ended.store(true, Relaxed);
    }

    pub(crate) fn has_source_ended(&self) -> bool {
        self.source_ended.load(Relaxed)
    }

    pub(crate) fn take_log(&self) -> Log<E> {
        std::mem::take(&mut *lock(&self.log))
    }

    /// Ends the run for this reason, unless it is ending already.
    fn end(&self, cause: String, reason: Reason<E>) {
        // The token decides who was first, and the log is read after the workers have ended.
        if self.token.cancel(cause) {
            lock(&self.log).fatal = Some(reason);
            return;
        }
        match reason {
            Reason::Item(error) => self.keep(error, ALSO_MAX),
            other => {
                let mut log = lock(&self.log);
                if log.also.len() < ALSO_MAX {
                    log.also.push(other);
                }
            }
        }
    }

    fn keep(&self, error: ItemError<E>, max: usize) {
        let mut log = lock(&self.log);
        if log.errors.len() < max {
            log.errors.push(error);
        } else {
            drop(log);
            drop_quietly(error);
        }
    }
}

impl<E: Display + Debug + Send + Sync + 'static> RunShared<E> {
    /// An item of a stage has failed.
    pub(crate) fn failed(&self, cell: &StageCell, seq: u64, kind: ItemErrorKind<E>) {
        let error = self.note(cell, seq, kind);
        match self.policy.on_error {
            OnError::Collect { max } if !self.is_fatal(cell, &error) => self.keep(error, max),
            _ => self.end(text_of(&error), Reason::Item(error)),
        }
    }

    /// The consumer has failed: there is nowhere to bring more items to.
    pub(crate) fn sink_failed(&self, cell: &StageCell, seq: u64, kind: ItemErrorKind<E>) {
        let error = self.note(cell, seq, kind);
        self.end(text_of(&error), Reason::Item(error));
    }

    /// Something that is not about one item has panicked.
    pub(crate) fn panicked(&self, stage: &Name, message: String) {
        let reason = Reason::Panicked { stage: stage.clone(), message };
        self.end(reason.to_string(), reason);
    }

    fn is_fatal(&self, cell: &StageCell, error: &ItemError<E>) -> bool {
        let (Some(fatal), Some(error)) = (&self.policy.fatal, error.error()) else { return false };
        caught(|| fatal(error)).unwrap_or_else(|message| {
            self.panicked(cell.name(), message);
            true
        })
    }

    fn note(&self, cell: &StageCell, seq: u64, kind: ItemErrorKind<E>) -> ItemError<E> {
        cell.add_failed();
        let error = ItemError::new(cell.name().clone(), seq, kind);
        // Whoever listens formats the error, which is the caller's code.
        drop(caught(|| trace::item_failed(&error)));
        if let Some(callback) = &self.policy.callback {
            if let Err(message) = caught(|| callback(&error)) {
                self.panicked(cell.name(), message);
            }
        }
        error
    }
}

/// What an error says; its text is the caller's code, and may panic.
fn text_of<E: Display>(error: &ItemError<E>) -> String {
    caught(|| error.to_string())
        .unwrap_or_else(|message| format!("an error whose text panicked: {message}"))
}

/// A run that is being started: where its workers are spawned.
pub(crate) struct Launch<E> {
    pub(crate) cx: Cx<Infallible>,
    pub(crate) shared: Arc<RunShared<E>>,
    pub(crate) queues: Vec<Arc<dyn Sweep>>,
}

impl<E> Launch<E> {
    /// Starts a worker as a child of the run's scope.
    pub(crate) fn spawn(&self, name: &Name, worker: impl Future<Output = ()> + Send + 'static) {
        // The scope waits for it and reports its panic; nobody needs the handle.
        drop(self.cx.spawn(name.clone(), async move {
            worker.await;
            Ok(())
        }));
    }

    /// On how many threads the runtime runs tasks.
    pub(crate) fn cores() -> usize {
        tokio::runtime::Handle::current().metrics().num_workers().max(1)
    }
}

/// Tells a worker to stop.
pub(crate) struct Stop {
    token: CancelToken,
    waiting: tidegate_core::CancelledOwned,
    waker: Option<std::task::Waker>,
}

impl Stop {
    pub(crate) fn new(token: &CancelToken) -> Self {
        Self { token: token.clone(), waiting: token.cancelled_owned(), waker: None }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether to stop; if not, the task will be woken when it has to.
    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        // A task is polled with the same waker nearly always: entering it once is enough.
        match &self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {
                if self.token.is_cancelled() {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            }
            _ => {
                self.waker = Some(cx.waker().clone());
                std::pin::Pin::new(&mut self.waiting).poll(cx).map(drop)
            }
        }
    }
}

/// The cause of a cancelled run, for a run that was never started.
pub(crate) fn cause_of<X>(cx: &Cx<X>) -> Cause {
    cx.cause().unwrap_or_else(|| Cause::explicit("the scope had ended"))
}
