//! Where a future waits, found out by what it does with a waker.
//!
//! Whatever a future waits for keeps the waker of the last poll. Polled with another one, it takes
//! that, and drops the former: from within all of its async functions. So the test is polled with
//! a waker of its own each time, whose destructor looks at the stack when it is asked to.

use super::shared::Shared;
use std::{
    backtrace::Backtrace,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::runtime::Runtime;

/// The innermost awaits.
const LINES: usize = 6;

/// Sees where the wakers that it has made are dropped, once it is told to.
#[derive(Clone, Debug, Default)]
pub(super) struct Spy(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    seen: Mutex<Seen>,
    /// Whether one of them has woken.
    has_woken: AtomicBool,
}

#[derive(Debug, Default)]
enum Seen {
    #[default]
    DoesNotLook,
    Looks,
    Stack(Backtrace),
}

impl Spy {
    /// Polls the test with a waker that wakes `cx`.
    pub(super) fn poll<F: Future>(&self, test: Pin<&mut F>, cx: &Context<'_>) -> Poll<F::Output> {
        let spied = Arc::new(Spied { waker: cx.waker().clone(), spy: self.clone() });
        test.poll(&mut Context::from_waker(&Waker::from(spied)))
    }

    /// The lines at which `test` waits, the innermost first; none, if it keeps no waker. It is
    /// polled once more, in vain. Of several futures at once the last one is seen.
    pub(super) fn places<F: Future>(
        &self,
        mut test: Pin<&mut F>,
        (runtime, shared): (&Runtime, &Shared),
    ) -> Vec<String> {
        *self.seen() = Seen::Looks;
        // In the runtime, where a future that never waits has a budget.
        runtime.block_on(poll_fn(|_| {
            let poll = || test.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(drop);
            // A test that fails when it goes on is no news: it is known not to.
            drop(catch_unwind(AssertUnwindSafe(poll)));
            Poll::Ready(())
        }));
        match std::mem::take(&mut *self.seen()) {
            Seen::Stack(stack) => {
                let _looks = shared.look_at_stack();
                lines(&stack.to_string())
            }
            Seen::DoesNotLook | Seen::Looks => Vec::new(),
        }
    }

    /// Whether the test was woken since this was asked.
    pub(super) fn take_woken(&self) -> bool {
        self.0.has_woken.swap(false, Ordering::Relaxed)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Spied {
    waker: Waker,
    spy: Spy,
}

impl Wake for Spied {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the runtime's: what that does synchronises.
        self.spy.0.has_woken.store(true, Ordering::Relaxed);
        self.waker.wake_by_ref();
    }
}

impl Drop for Spied {
    fn drop(&mut self) {
        let mut seen = self.spy.seen();
        if matches!(*seen, Seen::Looks) {
            *seen = Seen::Stack(Backtrace::force_capture());
        }
    }
}

/// The frames from the destructor of the waker to the poll here, as `file:line function`.
fn lines(stack: &str) -> Vec<String> {
    const HERE: &str = "bubble/place.rs:";
    let mut frames = Vec::new();
    let mut function = "";
    for line in stack.lines().map(str::trim).skip_while(|line| !line.contains(HERE)).skip(1) {
        match line.strip_prefix("at ") {
            None => function = line.split_once(": ").map_or(line, |(_, name)| name),
            Some(at) if at.contains(HERE) => break,
            Some(at) if is_foreign(at) => {}
            Some(at) => {
                // Without the column.
                let at = at.rsplit_once(':').map_or(at, |(at, _)| at);
                frames.push(format!("{} {function}", at.trim_start_matches("./")));
            }
        }
    }
    frames.truncate(LINES);
    frames
}

/// Of the standard library, or of a dependency.
fn is_foreign(at: &str) -> bool {
    let at = at.replace('\\', "/");
    ["/rustc/", "/rustlib/src/", "/registry/src/", "/git/checkouts/"]
        .iter()
        .any(|part| at.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_are_left_out() {
        let stack = "   0: <Spied as Drop>::drop\n\
                     at ./crates/testkit/src/bubble/place.rs:50:9\n\
                     1: tokio::sync::Mutex::lock\n\
                     at /h/.cargo/registry/src/x/tokio/src/sync/mutex.rs:1:2\n\
                     2: core::future::poll\n\
                     at /rustc/abc/library/core/src/future.rs:1:2\n\
                     3: all::transfer::{{closure}}\n\
                     at ./tests/all/bank.rs:7:22\n\
                     4: testkit::bubble::place::Spy::places::{{closure}}\n\
                     at ./crates/testkit/src/bubble/place.rs:9:9\n\
                     5: main\n\
                     at ./tests/all/main.rs:1:1\n";
        assert_eq!(lines(stack), ["tests/all/bank.rs:7 all::transfer::{{closure}}"]);
    }
}
