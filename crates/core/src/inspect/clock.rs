//! A clock that costs a poll one load: a thread moves it on, and it is coarse.
//!
//! Reading the system's clock twice a poll would cost as much as a short poll does. It shows
//! real time, also while tokio's is paused: a poll that hangs does so in real time.

use crate::sync::unmodelled::{AtomicU32, Condvar, Mutex, Ordering, lock};
use std::{
    fmt, io,
    sync::{Arc, OnceLock, PoisonError},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

/// How long a tick takes, and how often the clock is moved on: a fiftieth of a second.
const TICK: Duration = Duration::from_millis(20);

/// The tick it is now; 0, if nobody watches.
static NOW: AtomicU32 = AtomicU32::new(0);

static WATCHED: Mutex<Watched> = Mutex::new(Watched { watchers: 0, thread: None });

struct Watched {
    watchers: usize,
    thread: Option<Thread>,
}

struct Thread {
    end: Arc<End>,
    handle: JoinHandle<()>,
}

#[derive(Default)]
struct End {
    has_come: Mutex<bool>,
    told: Condvar,
}

/// A moment on the coarse clock, or none if nobody watched then. After two and a half years of
/// ticks it begins again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick(u32);

impl Tick {
    pub(crate) const UNKNOWN: Self = Self(0);

    pub(crate) fn now() -> Self {
        Self(NOW.load(Ordering::Relaxed))
    }

    pub(crate) fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// How many ticks have passed since `earlier`; none, if it is not known.
    pub(crate) fn ticks_since(self, earlier: Self) -> u32 {
        if self.is_known() && earlier.is_known() { self.0.wrapping_sub(earlier.0) } else { 0 }
    }

    /// How long ago `earlier` was, if both are known.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        let are_known = self.is_known() && earlier.is_known();
        are_known.then(|| TICK * self.ticks_since(earlier))
    }
}

/// So many ticks as a time.
pub(crate) fn ticks(ticks: u32) -> Duration {
    TICK * ticks
}

/// Keeps time for the [inspection](super) of running work: how old it is, how often and when it
/// was polled, how long it has been in a poll.
///
/// Costs a thread that wakes 50 times a second, and some nanoseconds a poll; so times are
/// multiples of 20 ms. It works as long as any watch lives; [`App::run`](crate::App::run) keeps
/// one. What began before the first is told without times.
///
/// ```
/// use tidegate_core::inspect::Watch;
///
/// # fn main() -> std::io::Result<()> {
/// let _watch = Watch::start()?;
/// // Until here snapshots tell times.
/// # Ok(())
/// # }
/// ```
#[must_use = "time is kept until it is dropped"]
pub struct Watch(());

impl Watch {
    /// Starts to keep time, unless it is kept already.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub fn start() -> io::Result<Self> {
        let mut watched = lock(&WATCHED);
        if watched.thread.is_none() {
            watched.thread = Some(Thread::start()?);
        }
        watched.watchers += 1;
        Ok(Self(()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = lock(&WATCHED);
        watched.watchers -= 1;
        let thread = if watched.watchers == 0 { watched.thread.take() } else { None };
        // Under the lock, so that the next watch does not start beside the last.
        if let Some(thread) = thread {
            thread.stop();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Thread {
    fn start() -> io::Result<Self> {
        let end = Arc::<End>::default();
        let until = Arc::clone(&end);
        move_on();
        let handle = Builder::new().name("tidegate-clock".into()).spawn(move || until.tick());
        let handle = handle.inspect_err(|_| NOW.store(0, Ordering::Relaxed))?;
        Ok(Self { end, handle })
    }

    fn stop(self) {
        *lock(&self.end.has_come) = true;
        self.end.told.notify_one();
        // It runs nothing that panics.
        let _ = self.handle.join();
        NOW.store(0, Ordering::Relaxed);
    }
}

impl End {
    fn tick(&self) {
        let mut has_come = lock(&self.has_come);
        while !*has_come {
            move_on();
            let waited = self.told.wait_timeout(has_come, TICK);
            has_come = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn move_on() {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "the clock of what runs in real time")]
    let elapsed = BEGUN.get_or_init(Instant::now).elapsed();
    #[expect(clippy::cast_possible_truncation, reason = "it begins again")]
    let ticks = (elapsed.as_millis() / TICK.as_millis()) as u32;
    NOW.store(ticks.wrapping_add(1).max(1), Ordering::Relaxed);
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_moment_has_no_age() {
        let (early, late) = (Tick(3), Tick(53));
        assert_eq!(late.since(early), Some(Duration::from_secs(1)));
        assert_eq!(late.since(Tick::UNKNOWN), None);
        assert_eq!(Tick::UNKNOWN.since(early), None);
        assert_eq!(Tick(4).ticks_since(Tick(u32::MAX)), 5, "it begins again");
    }
}
