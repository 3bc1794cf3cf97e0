//! Where threads are disturbed: by whose random stream, and where each was last seen.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, hint, thread};

use crate::clock;
use crate::rng::{Rng, mix};
use crate::seed::Seed;

type Place = &'static Location<'static>;

thread_local! {
    /// The part of this thread in what disturbs it.
    static PART: RefCell<Option<Part>> = const { RefCell::new(None) };
}

struct Part {
    rng: Rng,
    of: Of,
}

/// Who disturbs a thread.
enum Of {
    /// The round in which it has a part.
    Round(Arc<Seen>),
    /// All are disturbed, by this seed.
    AtLarge(u64),
}

/// Where a thread of a round was last seen, for whoever finds that the round has hung.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Sight>);

#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    whereabouts: Whereabouts,
    /// How often it was seen.
    times: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Whereabouts {
    #[default]
    Before,
    At(Place),
    Ended,
}

impl Seen {
    fn set(&self, whereabouts: Whereabouts) {
        let mut sight = self.lock();
        sight.whereabouts = whereabouts;
        sight.times += 1;
    }

    /// Changes whenever the thread is seen.
    pub(super) fn times(&self) -> u64 {
        self.lock().times
    }

    fn lock(&self) -> MutexGuard<'_, Sight> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lock().whereabouts {
            Whereabouts::Before => f.write_str("has passed no point"),
            Whereabouts::At(place) => write!(f, "was last seen at {place}"),
            Whereabouts::Ended => f.write_str("has ended"),
        }
    }
}

/// The current thread takes part in a round until this is dropped.
pub(super) struct InRound(Arc<Seen>);

impl InRound {
    pub(super) fn begin(rng: Rng, seen: &Arc<Seen>) -> Self {
        seen.set(Whereabouts::Before);
        PART.set(Some(Part { rng, of: Of::Round(Arc::clone(seen)) }));
        Self(Arc::clone(seen))
    }
}

impl Drop for InRound {
    fn drop(&mut self) {
        PART.set(None);
        self.0.set(Whereabouts::Ended);
    }
}

/// A place where another thread may step in, as [`Ctx::point`](crate::Ctx::point), for code that
/// has no `Ctx` at hand: on a thread of a round of [`Stress`](crate::Stress), or while threads are
/// disturbed at large by [`disturb`]. Elsewhere it does nothing.
///
/// Put it into what your locks and atomics go through in tests, before each operation: then a
/// stress test disturbs them all, and none of its bodies needs a point.
#[track_caller]
pub fn point_here() {
    point_at(Location::caller());
}

/// [`point_here`], for a hook that knows whose place it is.
pub fn point_at(place: &'static Location<'static>) {
    // A thread that is about to end has no part any more.
    let drawn = PART.try_with(|part| Part::draw(&mut part.borrow_mut(), place));
    if let Ok(Some(drawn)) = drawn {
        act(drawn);
    }
}

/// The seed by which threads without a round are disturbed; 0 while they are not.
static AT_LARGE: AtomicU64 = AtomicU64::new(0);
/// How many of them there have been, so that each has a stream of its own.
static THREADS: AtomicU64 = AtomicU64::new(0);
/// How many guards there are: tests of one process may have one each.
static GUARDS: Mutex<usize> = Mutex::new(0);

/// Disturbs every thread of the process at each [`point_here`] until the guard is dropped, and with it
/// all others: for tests whose threads are a runtime's. The last seed counts for all of them. The order
/// of the threads is no part of the seed.
///
/// ```
/// let disturbed = tidegate_testkit::disturb(tidegate_testkit::Seed::new(7));
/// tidegate_testkit::point_here(); // May yield, spin or sleep.
/// drop(disturbed);
/// ```
pub fn disturb(seed: Seed) -> Disturbed {
    let mut guards = guards();
    *guards += 1;
    if *guards == 1 {
        THREADS.store(0, Relaxed);
    }
    AT_LARGE.store(seed.value().max(1), Relaxed);
    Disturbed(())
}

fn guards() -> MutexGuard<'static, usize> {
    GUARDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads are disturbed until this is dropped; see [`disturb`].
#[derive(Debug)]
#[must_use = "threads are disturbed until this is dropped"]
pub struct Disturbed(());

impl Drop for Disturbed {
    fn drop(&mut self) {
        let mut guards = guards();
        *guards -= 1;
        if *guards == 0 {
            AT_LARGE.store(0, Relaxed);
        }
    }
}

impl Part {
    fn draw(part: &mut Option<Self>, place: Place) -> Option<u64> {
        let seed = AT_LARGE.load(Relaxed);
        let part = match part {
            Some(Self { rng, of: Of::Round(seen) }) => {
                seen.set(Whereabouts::At(place));
                return Some(rng.next_u64());
            }
            _ if seed == 0 => return None,
            Some(part) if matches!(part.of, Of::AtLarge(of) if of == seed) => part,
            part => {
                let rng = Rng::new(mix(seed, THREADS.fetch_add(1, Relaxed)));
                part.insert(Self { rng, of: Of::AtLarge(seed) })
            }
        };
        Some(part.rng.next_u64())
    }
}

fn act(drawn: u64) {
    match drawn % 1024 {
        0 if !cfg!(miri) => clock::pause(Duration::from_micros(50)),
        1..128 => thread::yield_now(),
        128..256 => (0..(drawn >> 32) % 200).for_each(|_| hint::spin_loop()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_without_a_round_are_disturbed_while_a_guard_is_held() {
        let (mut one, mut other) = (None, None);
        let draw = |part: &mut _| Part::draw(part, Location::caller());
        assert_eq!(draw(&mut one), None);
        let disturbed = disturb(Seed::new(7));
        let drawn = [draw(&mut one), draw(&mut one), draw(&mut other)];
        assert!(drawn.iter().all(Option::is_some), "{drawn:?}");
        assert!(drawn[0] != drawn[1] && drawn[0] != drawn[2], "{drawn:?}");
        drop(disturbed);
        assert_eq!(draw(&mut one), None);

        // By the same seed once more, though the thread has been disturbed by another one.
        let (first, second) = (disturb(Seed::new(6)), draw(&mut one));
        assert_ne!(drawn[0], second);
        let nested = disturb(Seed::new(8));
        drop(first);
        assert!(draw(&mut one).is_some(), "another guard is held");
        drop(nested);
        assert_eq!(draw(&mut one), None);
        let _again = disturb(Seed::new(7));
        assert_eq!(draw(&mut one), drawn[0]);
    }

    #[test]
    fn a_thread_of_a_round_is_disturbed_until_its_part_ends() {
        let seen = Arc::new(Seen::default());
        let drawn = || PART.with_borrow_mut(|part| Part::draw(part, Location::caller()));
        let in_round = InRound::begin(Rng::new(3), &seen);
        assert_eq!(seen.to_string(), "has passed no point");
        assert_eq!(drawn(), Some(Rng::new(3).next_u64()));
        point_here();
        let place = format!("was last seen at {}:{}", file!(), line!() - 1);
        assert!(seen.to_string().starts_with(&place), "{seen}");
        drop(in_round);
        assert_eq!(seen.to_string(), "has ended");
        assert!(PART.with_borrow(Option::is_none));
    }
}
