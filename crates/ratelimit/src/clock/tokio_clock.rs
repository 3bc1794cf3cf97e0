//! tokio's clock. The one place, with the other clocks, that reads time.

use super::{Clock, Timer};
use pin_project_lite::pin_project;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime::{Handle, Id},
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// tokio's clock: the monotonic clock of the system, or a paused one in tests. The default.
///
/// Its timers have a resolution of a millisecond. On Linux it stands still while the machine sleeps,
/// so that a limiter goes on after a suspension where it was.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    type Timer = TokioTimer;

    fn now(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.origin);
        // Five hundred years fit.
        elapsed
            .as_secs()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(elapsed.subsec_nanos()))
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::new(self.origin)
    }
}

pin_project! {
    /// A timer of the runtime that it was made on.
    #[derive(Debug)]
    pub struct TokioTimer {
        origin: Instant,
        runtime: Id,
        at: Option<u64>,
        #[pin]
        sleep: Sleep,
    }
}

impl TokioTimer {
    fn new(origin: Instant) -> Self {
        let runtime = Handle::current().id();
        Self { origin, runtime, at: None, sleep: sleep_until(origin) }
    }
}

impl Timer for TokioTimer {
    fn poll_until(self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if *this.at != Some(at) {
            *this.at = Some(at);
            let deadline = this.origin.checked_add(Duration::from_nanos(at));
            this.sleep.as_mut().reset(deadline.unwrap_or_else(|| far_from(*this.origin)));
        }
        // What a task may use up of its turn is nothing to whoever it wakes.
        pin!(unconstrained(poll_fn(|cx| this.sleep.as_mut().poll(cx)))).poll(cx)
    }

    fn is_of_caller(&self) -> bool {
        Handle::try_current().is_ok_and(|current| current.id() == self.runtime)
    }
}

/// As far away as tokio itself puts what has no end.
fn far_from(origin: Instant) -> Instant {
    origin + Duration::from_secs(86_400 * 365 * 30)
}
