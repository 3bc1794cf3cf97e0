//! Limits that find themselves, by what becomes of those who are let in. Times are since any one moment.
//!
//! | file | decides |
//! |---|---|
//! | `window` | when enough was seen to say something |
//! | `baseline` | how long a call takes that does not queue, and when to look again |
//! | `feedback` | what a window changes, whatever the law |
//! | `vegas`, `gradient2` | the two laws |
//! | `aimd` | the third limit, which needs neither windows nor a baseline |

mod aimd;
mod baseline;
mod feedback;
mod gradient2;
mod level;
mod rng;
// Numbers and no pointers, which an interpreter takes minutes for.
#[cfg(all(test, not(any(tidegate_loom, miri))))]
mod tests;
mod vegas;
mod window;

pub use self::{aimd::Aimd, gradient2::Gradient2, vegas::Vegas};

use crate::{ConfigError, Outcome};
use std::{fmt, sync::Arc, time::Duration};

/// How a bulkhead finds its capacity: [`Aimd`], [`Vegas`], [`Gradient2`], or your own.
///
/// These are the settings, which make a [`LimitAlgorithm`] for each bulkhead: one, or one a key.
pub trait Limit: fmt::Debug + Send + Sync {
    /// Begins with so many permits.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense, or not with that many.
    fn start(&self, capacity: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError>;
}

/// That of the standard library: only that one takes in what is of any type.
pub(crate) type AnyLimit = Arc<dyn Limit>;

/// A limit, and what changes it. It reads no clock, so that it can be simulated.
///
/// ```
/// use std::time::Duration;
/// use tidegate_bulkhead::{Limit, Outcome, Sample, Vegas};
///
/// let mut limit = Vegas::new().max(100).start(10).unwrap();
/// let latency = Duration::from_millis(20);
/// for n in 1..=1000 {
///     let in_flight = limit.limit().min(10);
///     let sample = Sample { latency, in_flight, outcome: Outcome::Success };
///     limit.sample(Duration::from_millis(2) * n, sample);
/// }
/// // Calls take no longer than they ever did, with all of the limit in use: it has grown, until 10 in
/// // flight were less than half of it.
/// assert!((19..=30).contains(&limit.limit()), "{}", limit.limit());
/// ```
pub trait LimitAlgorithm: fmt::Debug + Send {
    /// How many may be in flight now: at least one.
    fn limit(&self) -> u32;

    /// A call has ended, at a time that is not before that of the last sample. Gives the limit from now on.
    ///
    /// This and the others are called one at a time, with a lock held that is theirs alone: nobody who takes permits or
    /// gives them back waits for it, but who says how a call has ended, or finds no room when it is [due](Self::due).
    /// They are to be short, and to leave alone the bulkhead that they are for, which would wait for itself.
    fn sample(&mut self, now: Duration, sample: Sample) -> u32;

    /// When the limit may change though no call ends, if it may: a limit that is lower for a while has to say
    /// so, or it stays low for ever once nothing enters any more. Somebody calls [`tick`](Self::tick) then,
    /// if anybody asks or waits.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// How many there may be once what is lower for a while is over. Who asks for more than that at once is turned
    /// away, and who asks for less waits.
    fn level(&self) -> u32 {
        self.limit()
    }

    /// So late it is. Gives the limit from now on.
    fn tick(&mut self, now: Duration) -> u32 {
        let _ = now;
        self.limit()
    }
}

/// What is known of a call that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How long it took.
    pub latency: Duration,
    /// How many were in flight when it ended, with it.
    pub in_flight: u32,
    /// How it has ended.
    pub outcome: Outcome,
}

impl Sample {
    /// Seconds, and never none of them: others are divided by it.
    fn seconds(&self) -> f64 {
        self.latency.as_secs_f64().max(1e-9)
    }
}
