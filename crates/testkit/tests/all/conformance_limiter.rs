//! The suite of limiters lets right ones pass, and finds what is wrong with others.

use crate::conformance::{hunt, message};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard},
    thread::yield_now,
    time::Duration,
};
use tidegate_testkit::Stress;
use tidegate_testkit::conformance::{Limit, TryLimiter, limiter};

const BURST: u32 = 4;
const LIMIT: Limit = Limit { burst: BURST, interval: Duration::from_millis(10) };
const INTERVAL: u64 = 10_000_000;
const FULL: u64 = BURST as u64 * INTERVAL;

/// What is wrong with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Looks, and takes, in two steps.
    TwoSteps,
    /// Has no bound for time that was not used.
    SavesUp,
    /// Says that it takes back, and does not.
    LosesRefunds,
    /// Takes back more than fits.
    Overflows,
    /// Takes from who is refused.
    TakesAnyhow,
    /// Counts a time that is past as one that passes.
    GoesBack,
    /// Half as often.
    IsSlow,
    /// One more.
    IsLarge,
}

#[derive(Clone, Copy)]
struct Level {
    nanos: u64,
    last: u64,
}

struct Bucket {
    level: Mutex<Level>,
    flaw: Flaw,
}

impl Bucket {
    fn new(flaw: Flaw) -> Self {
        let nanos = if flaw == Flaw::IsLarge { FULL + INTERVAL } else { FULL };
        Self { level: Mutex::new(Level { nanos, last: 0 }), flaw }
    }

    fn lock(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap()
    }

    fn full(&self) -> u64 {
        match self.flaw {
            Flaw::SavesUp => 10 * FULL,
            Flaw::IsLarge => FULL + INTERVAL,
            _ => FULL,
        }
    }
}

impl TryLimiter for Bucket {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap();
        let mut level = *self.lock();
        let guard = if self.flaw == Flaw::TwoSteps {
            yield_now();
            None
        } else {
            let guard = self.lock();
            level = *guard;
            Some(guard)
        };
        let passed = match self.flaw {
            Flaw::GoesBack => now.abs_diff(level.last),
            Flaw::IsSlow => now.saturating_sub(level.last) / 2,
            _ => now.saturating_sub(level.last),
        };
        level.last = if self.flaw == Flaw::GoesBack { now } else { level.last.max(now) };
        if passed > 0 || self.flaw != Flaw::Overflows {
            level.nanos = (level.nanos + passed).min(self.full());
        }
        let cost = u64::from(n) * INTERVAL;
        let has_passed = level.nanos >= cost;
        if has_passed || self.flaw == Flaw::TakesAnyhow {
            level.nanos = level.nanos.saturating_sub(cost);
        }
        match guard {
            Some(mut guard) => *guard = level,
            None => *self.lock() = level,
        }
        has_passed
    }

    fn refund(&self, n: u32, _now: Duration) -> bool {
        let mut level = self.lock();
        let cost = u64::from(n) * INTERVAL;
        match self.flaw {
            Flaw::LosesRefunds => {}
            Flaw::Overflows => level.nanos += cost,
            _ => level.nanos = (level.nanos + cost).min(self.full()),
        }
        true
    }
}

#[test]
fn a_token_bucket_passes() {
    limiter(Stress::new("bucket"), LIMIT, || Bucket::new(Flaw::None)).unwrap();
}

#[test]
fn buckets_with_a_flaw_are_found() {
    let found = |flaw| message(limiter(hunt("flaw"), LIMIT, || Bucket::new(flaw)));
    for (flaw, words) in [
        (Flaw::TwoSteps, "have passed within"),
        (Flaw::SavesUp, "have passed at once, with a burst of 4"),
        (Flaw::LosesRefunds, "cannot be taken again"),
        (Flaw::Overflows, "at once"),
        (Flaw::TakesAnyhow, "of a burst of 4 are left"),
        (Flaw::IsSlow, "in 16 intervals to whoever asks all the time"),
        (Flaw::IsLarge, "5 have passed at once, with a burst of 4"),
        (Flaw::GoesBack, "have passed within"),
    ] {
        let text = found(flaw);
        assert!(text.contains(words), "{flaw:?}: {text}");
    }
}

/// All that have passed within the time of a burst, and what time it is: the window must not slide
/// back with who comes late.
struct Log(Mutex<(VecDeque<Duration>, Duration)>);

impl TryLimiter for Log {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        let mut log = self.0.lock().unwrap();
        let (passed, last) = &mut *log;
        *last = now.max(*last);
        let window = LIMIT.interval * BURST;
        while passed.front().is_some_and(|first| *first + window <= *last) {
            passed.pop_front();
        }
        let fits = passed.len() + n as usize <= BURST as usize;
        passed.extend((0..n).filter(|_| fits).map(|_| *last));
        fits
    }
}

#[test]
fn a_sliding_window_passes() {
    limiter(Stress::new("log"), LIMIT, || Log(Mutex::default())).unwrap();
}

/// So many in each window, which begins anew.
struct Windows(Mutex<(u64, u32)>);

impl TryLimiter for Windows {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        let mut counted = self.0.lock().unwrap();
        let window = u64::try_from(now.as_nanos()).unwrap() / FULL;
        if window > counted.0 {
            *counted = (window, 0);
        }
        let fits = counted.1 + n <= BURST;
        counted.1 += if fits { n } else { 0 };
        fits
    }
}

/// Two bursts pass where two windows meet.
#[test]
fn windows_that_begin_anew_are_found() {
    let text = message(limiter(hunt("windows"), LIMIT, || Windows(Mutex::default())));
    assert!(text.contains("have passed within"), "{text}");
}

/// Nothing passes.
struct Closed;

impl TryLimiter for Closed {
    fn try_acquire(&self, _n: u32, _now: Duration) -> bool {
        false
    }
}

#[test]
fn one_that_lets_nothing_pass_is_found() {
    let text = message(limiter(hunt("closed"), LIMIT, || Closed));
    assert!(text.contains("0 of a burst of 4 are left"), "{text}");
}

/// When all that have passed are paid for.
struct Gcra(Mutex<Duration>, Limit);

impl TryLimiter for Gcra {
    fn try_acquire(&self, n: u32, now: Duration) -> bool {
        let (mut paid, Limit { burst, interval }) = (self.0.lock().unwrap(), self.1);
        let next = (*paid).max(now) + interval * n;
        let fits = next <= now + interval * burst;
        *paid = if fits { next } else { *paid };
        fits
    }
}

/// Each time between two moments is looked at, of which there are a thousand.
#[test]
fn a_burst_of_a_hundred_is_checked_in_time() {
    let limit = Limit { burst: 100, interval: Duration::from_millis(1) };
    let stress = Stress::new("a hundred").threads(2).time(Duration::ZERO).min_rounds(50);
    let patient = stress.patience(Duration::from_secs(20));
    limiter(patient, limit, || Gcra(Mutex::default(), limit)).unwrap();
}

#[test]
fn limits_that_are_too_large_are_refused() {
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    for (burst, interval) in
        [(1001, days(1)), (u32::MAX, days(1)), (1000, days(365)), (1, Duration::MAX)]
    {
        let limit = Limit { burst, interval };
        let run = || limiter(Stress::new("large"), limit, || Gcra(Mutex::default(), limit));
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.starts_with("too large a limit"), "{text}");
    }
}
