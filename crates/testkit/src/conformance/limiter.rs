use super::share;
use crate::{Ctx, Stress, StressFailure, StressReport};
use std::{
    collections::BTreeSet,
    iter::from_fn,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// A limiter that says at once whether it lets something pass.
pub trait TryLimiter: Send + Sync {
    /// Whether `n` may pass at `now`, all of them or none. `now` is the time since the limiter was
    /// made; of threads that ask at once, one may come with a time that is past already.
    fn try_acquire(&self, n: u32, now: Duration) -> bool;

    /// Takes back `n` that were let pass, since who asked for them has given up. False, if it takes
    /// nothing back.
    fn refund(&self, n: u32, now: Duration) -> bool {
        let _ = (n, now);
        false
    }
}

/// What a limiter is to keep to: in any time `t` at most `burst + t / interval` pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many may pass at once.
    pub burst: u32,
    /// The time after which one more may.
    pub interval: Duration,
}

/// The times of a round are less than a hundred times as long as a burst, and nanoseconds in 64 bits.
const LONGEST: Duration = Duration::from_secs(500 * 365 * 24 * 60 * 60);

/// What was asked for, and has passed, or was given back.
#[derive(Clone, Copy, Debug)]
struct Passed {
    n: u64,
    is_refund: bool,
    /// It took effect between these, in nanoseconds.
    from: u64,
    to: u64,
}

struct Subject<L> {
    limiter: L,
    limit: Limit,
    /// What time it is, in nanoseconds.
    clock: AtomicU64,
    passed: Mutex<Vec<Passed>>,
}

/// Puts a limiter through races of threads that ask, and give up, while the time passes:
///
/// - in no time `t` more than `burst + t / interval` pass, beside what was given back
/// - who is refused has taken nothing, and more than `burst` at once never pass
/// - after a time without any, `burst` pass at once, and no more than that
/// - what is given back can be taken again, if the limiter [takes it back](TryLimiter::refund)
/// - whoever asks all the time gets what the interval says, but for one burst
///
/// These hold for token buckets, GCRA and sliding windows alike. A counter that starts anew with
/// each window is none of them: it lets two bursts pass where two windows meet.
///
/// ```
/// use std::{sync::Mutex, time::Duration};
/// use tidegate_testkit::Stress;
/// use tidegate_testkit::conformance::{Limit, TryLimiter, limiter};
///
/// const LIMIT: Limit = Limit { burst: 3, interval: Duration::from_millis(10) };
///
/// /// When all that have passed are paid for.
/// struct Gcra(Mutex<Duration>);
///
/// impl TryLimiter for Gcra {
///     fn try_acquire(&self, n: u32, now: Duration) -> bool {
///         let mut paid = self.0.lock().unwrap();
///         let next = (*paid).max(now) + LIMIT.interval * n;
///         if next > now + LIMIT.interval * LIMIT.burst {
///             return false;
///         }
///         *paid = next;
///         true
///     }
/// }
///
/// # #[cfg(not(miri))]
/// limiter(Stress::new("GCRA"), LIMIT, || Gcra(Mutex::default())).unwrap();
/// ```
///
/// # Errors
///
/// As [`Stress::try_run`], with the time in which too many have passed, or what was missing.
///
/// # Panics
///
/// As [`Stress::try_run`], and if the limit has no burst or no interval, a burst of more than 1000, or
/// one of which a hundred take more than 500 years.
pub fn limiter<L: TryLimiter>(
    stress: Stress,
    limit: Limit,
    mut make: impl FnMut() -> L,
) -> Result<StressReport, StressFailure> {
    assert!(limit.burst > 0 && limit.interval >= Duration::from_nanos(2), "no limit: {limit:?}");
    let longest = limit.interval.checked_mul(limit.burst).and_then(|time| time.checked_mul(100));
    let is_small = limit.burst <= 1000 && longest.is_some_and(|time| time <= LONGEST);
    assert!(is_small, "too large a limit: {limit:?}");
    stress.try_run(
        |_rng| Subject {
            limiter: make(),
            limit,
            clock: AtomicU64::new(0),
            passed: Mutex::default(),
        },
        Subject::work,
        |subject, _threads| {
            subject.in_peace()?;
            subject.within_the_limit()
        },
    )
}

impl<L: TryLimiter> Subject<L> {
    fn interval(&self) -> u64 {
        nanos(self.limit.interval)
    }

    /// Asks at a time that may be past, and says whether it may pass.
    fn acquire(&self, n: u32, now: u64) -> bool {
        let has_passed = self.limiter.try_acquire(n, Duration::from_nanos(now));
        if has_passed {
            self.note(n, now, false);
        }
        has_passed
    }

    fn refund(&self, n: u32, now: u64) -> bool {
        let is_taken_back = self.limiter.refund(n, Duration::from_nanos(now));
        if is_taken_back {
            self.note(n, now, true);
        }
        is_taken_back
    }

    fn note(&self, n: u32, from: u64, is_refund: bool) {
        // Nobody has come with a later time by now.
        let to = self.clock.load(SeqCst).max(from);
        let passed = Passed { n: u64::from(n), is_refund, from, to };
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
    }

    /// What a thread does: asks while the time passes, and sometimes gives up.
    fn work(&self, ctx: &mut Ctx) {
        for _ in 0..share(ctx.threads(), ctx.rng()) {
            let step = ctx.rng().below(3) * self.interval() / 2;
            let n = 1 + ctx.rng().below(u64::from(self.limit.burst.min(3)));
            let n = u32::try_from(n).unwrap_or(1);
            let gives_up = ctx.rng().one_in(3);
            let now = self.clock.fetch_add(step, SeqCst) + step;
            ctx.point();
            if self.acquire(n, now) && gives_up {
                ctx.point();
                self.refund(n, now);
            }
        }
    }

    /// Nobody else asks any more.
    fn in_peace(&self) -> Result<(), String> {
        let (burst, interval) = (self.limit.burst, self.interval());
        let all = u64::from(burst) * interval;
        let mut now = self.clock.load(SeqCst) + 2 * all;
        self.has_a_burst(now)?;
        if self.refund(1, now) {
            if !self.acquire(1, now) {
                return Err("what was given back cannot be taken again".to_owned());
            }
            // One that comes late is one more than a burst, unless that is the most of it.
            now += 2 * all;
            let is_full = self.acquire(1, now) && self.refund(1, now) && self.refund(1, now);
            if !is_full {
                return Err("one of a burst is not taken back".to_owned());
            }
            self.has_a_burst(now)?;
        }
        // A long time is worth no more than a burst.
        now += 20 * all;
        self.has_a_burst(now)?;
        let mut passed = 0;
        for _ in 0..8 * burst {
            now += interval / 2;
            passed += u32::from(self.acquire(1, now));
        }
        if passed < 3 * burst {
            return Err(format!(
                "only {passed} have passed in {} intervals to whoever asks all the time",
                4 * burst
            ));
        }
        Ok(())
    }

    /// So many pass now, and no more.
    fn has_a_burst(&self, now: u64) -> Result<(), String> {
        let burst = self.limit.burst;
        if self.acquire(burst + 1, now) {
            return Err(format!("{} have passed at once, with a burst of {burst}", burst + 1));
        }
        match (0..burst).take_while(|_| self.acquire(1, now)).count() {
            passed if passed < usize::try_from(burst).unwrap_or(usize::MAX) => {
                Err(format!("{passed} of a burst of {burst} are left after a time without any"))
            }
            _ if self.acquire(1, now) => {
                Err(format!("one more has passed at once than a burst of {burst}"))
            }
            _ => Ok(()),
        }
    }

    /// Whatever the time that is looked at, not too many have passed in it.
    fn within_the_limit(&self) -> Result<(), String> {
        let all = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let begins: BTreeSet<u64> = all.iter().map(|one| one.from).collect();
        let ends: BTreeSet<u64> = all.iter().map(|one| one.to).collect();
        let (mut refunds, mut passed): (Vec<&Passed>, Vec<&Passed>) =
            all.iter().partition(|one| one.is_refund);
        passed.sort_by_key(|one| one.to);
        refunds.sort_by_key(|one| one.from);
        for &begin in &begins {
            // What is surely within the time, and what may have been given back in it.
            let mut passed = passed.iter().filter(|one| one.from >= begin).peekable();
            let mut refunds = refunds.iter().filter(|one| one.to >= begin).peekable();
            let (mut sum, mut back) = (0, 0);
            for &end in ends.range(begin..) {
                sum +=
                    from_fn(|| passed.next_if(|one| one.to <= end)).map(|one| one.n).sum::<u64>();
                back += from_fn(|| refunds.next_if(|one| one.from <= end))
                    .map(|one| one.n)
                    .sum::<u64>();
                let most = u64::from(self.limit.burst) + (end - begin) / self.interval() + back;
                if sum > most {
                    let time = Duration::from_nanos(end - begin);
                    return Err(format!("{sum} have passed within {time:?}, at most {most} may"));
                }
            }
        }
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
