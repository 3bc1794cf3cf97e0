//! One walk under way: what its threads share, and how it is stopped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use tidegate_core::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use tidegate_core::{CancelledOwned, Cause, panic};

use crate::error::{WalkError, WalkErrorKind};
use crate::fds::{FdCache, default_limit};
use crate::state::lock;
use crate::summary::Summary;
use crate::sys::{Sys, fd_limit};
use crate::walk::Config;

type Payload = Box<dyn Any + Send>;

/// What all threads of a walk share.
pub(crate) struct Run {
    pub(crate) config: Arc<Config>,
    pub(crate) fds: Arc<FdCache>,
    stop: Arc<AtomicBool>,
    cancelled: AtomicBool,
    panic: Mutex<Option<Payload>>,
    summary: Mutex<Summary>,
}

impl Run {
    pub(crate) fn new(config: &Arc<Config>) -> Self {
        #[cfg(all(test, not(tidegate_loom)))]
        let sys = config.sys.clone();
        #[cfg(not(all(test, not(tidegate_loom))))]
        let sys = Sys::default();
        let limit = config.max_open_dirs.unwrap_or_else(|| default_limit(fd_limit()));
        let stop = Arc::new(AtomicBool::new(false));
        Self {
            config: Arc::clone(config),
            fds: FdCache::new(sys, limit, Arc::clone(&stop)),
            stop,
            cancelled: AtomicBool::new(false),
            panic: Mutex::new(None),
            summary: Mutex::new(Summary::default()),
        }
    }

    pub(crate) fn sys(&self) -> &Sys {
        &self.fds.sys
    }

    /// Looked at before each directory and each entry.
    #[inline]
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Tells every thread to end; whoever calls this wakes those that are parked.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Runs a thread's part; a panic in it stops the walk and is kept for the caller.
    pub(crate) fn guard(&self, part: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(part)) {
            self.stop();
            let later = {
                let mut first = lock(&self.panic);
                // The first panic is the cause.
                if first.is_none() { first.replace(payload) } else { Some(payload) }
            };
            if let Some(later) = later {
                panic::drop_quietly(later);
            }
        }
    }

    pub(crate) fn take_panic(&self) -> Option<Payload> {
        lock(&self.panic).take()
    }

    /// For whoever drops a walk instead of waiting for its end: a panic is not to pass unseen.
    pub(crate) fn log_unheard_panic(&self) {
        if let Some(payload) = self.take_panic() {
            #[cfg(feature = "tracing")]
            tracing::error!(
                target: "tidegate::fs_walk",
                panic = panic::message(&*payload),
                "the filter of a dropped walk had panicked",
            );
            panic::drop_quietly(payload);
        }
    }

    /// Adds a thread's counts and clears them.
    pub(crate) fn merge(&self, tally: &mut Summary) {
        lock(&self.summary).merge(&std::mem::take(tally));
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut summary = *lock(&self.summary);
        (summary.evictions, summary.reopens) = self.fds.counts();
        summary
    }

    fn first_root(&self) -> PathBuf {
        self.config.roots.first().cloned().unwrap_or_default()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The last item of a walk that was cancelled.
    pub(crate) fn cancellation(&self) -> Option<WalkError> {
        if !self.is_cancelled() {
            return None;
        }
        let cause = self.config.cancel.as_ref()?.cause()?;
        Some(WalkError::new(self.first_root(), 0, WalkErrorKind::Cancelled(cause)))
    }

    pub(crate) fn spawn_failure(&self, error: std::io::Error) -> WalkError {
        WalkError::new(self.first_root(), 0, WalkErrorKind::Spawn(error))
    }

    /// The walk is over for whoever started it.
    pub(crate) fn log_end(&self) {
        #[cfg(not(feature = "tracing"))]
        let _ = self;
        #[cfg(feature = "tracing")]
        {
            let summary = self.summary();
            tracing::debug!(
                target: "tidegate::fs_walk",
                roots = self.config.roots.len(),
                entries = summary.entries,
                errors = summary.errors,
                evictions = summary.evictions,
                reopens = summary.reopens,
                cancelled = self.cancelled.load(Ordering::Relaxed),
                "walk ended",
            );
        }
    }
}

/// Something whose parked threads can be told to end.
pub(crate) trait Stop: Send + Sync + 'static {
    fn run(&self) -> &Run;
    /// Wakes whoever is parked; they find the walk stopped.
    fn wake_all(&self);
}

/// Stops a walk when its token is cancelled, from the thread that cancels it: no thread and no
/// task waits for it.
#[derive(Debug)]
pub(crate) struct CancelHook {
    /// Keeps the waker registered with the token.
    _registered: Option<CancelledOwned>,
}

struct StopWaker<S>(Arc<S>);

impl<S: Stop> StopWaker<S> {
    fn cancel(&self) {
        self.0.run().cancelled.store(true, Ordering::Release);
        self.0.run().stop();
        self.0.wake_all();
    }
}

impl<S: Stop> Wake for StopWaker<S> {
    fn wake(self: Arc<Self>) {
        self.cancel();
    }
}

impl CancelHook {
    /// Holds as long as the hook lives.
    pub(crate) fn new<S: Stop>(what: &Arc<S>) -> Self {
        let Some(token) = &what.run().config.cancel else {
            return Self { _registered: None };
        };
        let mut cancelled = token.cancelled_owned();
        let stop = Arc::new(StopWaker(Arc::clone(what)));
        let waker = Waker::from(Arc::clone(&stop));
        let poll: Poll<Cause> =
            Future::poll(Pin::new(&mut cancelled), &mut Context::from_waker(&waker));
        if poll.is_ready() {
            stop.cancel();
        }
        Self { _registered: Some(cancelled) }
    }
}
