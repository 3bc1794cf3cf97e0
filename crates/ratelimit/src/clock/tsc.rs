//! The counter of the processor as a clock. The one place, with the other clocks, that reads time.

use super::{
    Clock, Timer, TokioClock,
    tokio_clock::TokioTimer,
    trust::{Gate, Reading, SPAN},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

/// The counter of the processor (TSC), for as long as it agrees with the monotonic clock of the system,
/// and that clock from then on. Clones share what they know. Feature `quanta`.
///
/// Reading the counter takes about half the time that reading the clock takes. There are machines, and
/// hypervisors more than others, on which it runs at another rate than it says, or jumps. It is compared
/// with the clock of the system after each millisecond, if it is read then. Where the two
/// differ by more than 0.2 ms and 0.07 % of the time, it is not trusted any more, once and for
/// all, which is a warning of `tracing`. One that stands still is noticed when a timer rings.
///
/// - It never runs ahead of the system's clock by more than 1.2 ms and 0.09 % of the time: what comes back
///   to a limiter in such a time is all that a wrong counter is good for.
/// - The time does not go back when the counter is given up: it stands still until the system has come up
///   to it. Until then it goes back where the counter does, for a millisecond at most; limiters gain nothing
///   by it.
/// - A machine that sleeps, or is moved to another, may lose it.
/// - A paused clock of tokio is nothing to it.
///
/// Without a counter that is fit for it, this is the clock of the system.
#[derive(Clone)]
pub struct TscClock(Arc<Checked<Quanta>>);

impl TscClock {
    /// Calibrates the counter, if nobody did in this process, which blocks for 200 ms at most; and compares
    /// it for a millisecond.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Checked::new(Quanta::new())))
    }

    /// Whether the counter tells the time. Once it does not, it never does again.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.0.gate.is_trusted()
    }
}

impl Default for TscClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TscClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TscClock").field("is_trusted", &self.is_trusted()).finish_non_exhaustive()
    }
}

impl Clock for TscClock {
    type Timer = TscTimer;

    #[inline]
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn timer(&self) -> TscTimer {
        let system = TokioClock::new();
        TscTimer { clock: self.clone(), timer: system.timer(), system, set: None }
    }
}

/// What can be read, in nanoseconds since an origin of its own each.
trait Source {
    fn counter(&self) -> u64;
    fn system(&self) -> u64;
}

struct Quanta {
    clock: quanta::Clock,
    origin: Instant,
}

impl Quanta {
    #[expect(clippy::disallowed_methods, reason = "the counter is compared with this very clock")]
    fn new() -> Self {
        Self { clock: quanta::Clock::new(), origin: Instant::now() }
    }
}

impl Source for Quanta {
    #[inline]
    fn counter(&self) -> u64 {
        self.clock.delta_as_nanos(0, self.clock.raw())
    }

    fn system(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A source, and what is known about it.
struct Checked<S> {
    source: S,
    gate: Gate,
}

impl<S: Source> Checked<S> {
    fn new(source: S) -> Self {
        // The first of them brings the code into the cache.
        let readings = std::iter::repeat_with(|| read(&source)).take(8);
        let first = Reading::best(readings).unwrap_or_else(|| read(&source));
        let clock = Self { gate: Gate::new(first), source };
        let end = first.after.saturating_add(SPAN);
        while clock.source.system() < end {
            std::hint::spin_loop();
        }
        clock.look();
        clock
    }

    #[inline]
    fn now(&self) -> u64 {
        let counter = self.source.counter();
        if self.gate.passes(counter) { counter } else { self.look() }
    }

    #[cold]
    fn look(&self) -> u64 {
        let by_system = || self.gate.time_without(|| self.source.system());
        if let Some(time) = by_system() {
            return time;
        }
        if let Some(time) = self.gate.compare(|| read(&self.source)) {
            return time;
        }
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "tidegate::ratelimit",
            "the counter of the processor disagrees with the clock of the system, which is used from now on"
        );
        by_system().unwrap_or_default()
    }
}

fn read(source: &impl Source) -> Reading {
    Reading { before: source.system(), counter: source.counter(), after: source.system() }
}

pin_project! {
    /// A timer of the runtime that it was made on, which rings when its clock says so.
    #[derive(Debug)]
    pub struct TscTimer {
        clock: TscClock,
        system: TokioClock,
        // For which time of the clock, and which of tokio's, the timer is set.
        set: Option<(u64, u64)>,
        #[pin]
        timer: TokioTimer,
    }
}

impl Timer for TscTimer {
    fn poll_until(self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let left = at.saturating_sub(this.clock.now());
            if left == 0 {
                return Poll::Ready(());
            }
            let due = match *this.set {
                Some((same, due)) if same == at => due,
                _ => this.system.now().saturating_add(left),
            };
            *this.set = Some((at, due));
            ready!(this.timer.as_mut().poll_until(due, cx));
            // It may not be time yet by this clock. A counter that stands still is noticed here.
            this.clock.0.look();
            *this.set = None;
        }
    }

    fn is_of_caller(&self) -> bool {
        self.timer.is_of_caller()
    }
}

#[cfg(test)]
mod tests;
