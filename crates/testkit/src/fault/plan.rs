//! Which faults an I/O is to have.

use super::probability::{FaultPlanError, Probability};
use crate::{Seed, rng::mix};
use std::time::Duration;

/// Which faults a [`FaultIo`](super::FaultIo) has: how often, or at which byte, and from which
/// seed. It can be used for many of them, each with a [seed of its own](Self::stream).
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::{FaultPlan, FaultPlanError, Seed};
///
/// let plan = FaultPlan::seeded(Seed::new(7))
///     .short_reads(0.5)
///     .pending(0.1)
///     .stall_reading_at(1_000, Duration::from_secs(30))
///     .reset_after_writing(4_096)
///     .build();
/// assert!(plan.is_ok());
///
/// let nonsense = FaultPlan::seeded(Seed::new(7)).short_reads(50.0).build();
/// assert!(matches!(nonsense, Err(FaultPlanError::NotAProbability { fault: "short_reads", .. })));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    seed: Seed,
    pub(super) read: Way,
    pub(super) write: Way,
}

/// The faults of one direction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Way {
    pub(super) short: Probability,
    pub(super) pending: Probability,
    pub(super) interrupted: Probability,
    pub(super) flipped: Probability,
    pub(super) at: Bytes,
}

/// What happens after so many bytes of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bytes {
    pub(super) reset: Option<u64>,
    pub(super) end: Option<u64>,
    /// By their bytes, ascending.
    pub(super) stalls: Vec<(u64, Duration)>,
}

impl FaultPlan {
    /// No faults, yet.
    pub fn seeded(seed: Seed) -> FaultPlanBuilder {
        FaultPlanBuilder {
            seed,
            short_reads: 0.0,
            short_writes: 0.0,
            pending: 0.0,
            interrupted: 0.0,
            flipped_reads: 0.0,
            flipped_writes: 0.0,
            read: Bytes::default(),
            write: Bytes::default(),
        }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The same plan with another seed, which is made of this one and a number: for one of many
    /// connections.
    #[must_use]
    pub fn stream(&self, index: u64) -> Self {
        Self { seed: Seed::new(mix(self.seed.value(), index)), ..self.clone() }
    }
}

/// Makes a [`FaultPlan`]. Probabilities are numbers from 0 (never, the default) to 1 (each time);
/// places are counted in bytes that went through in that direction.
#[derive(Clone, Debug)]
#[must_use = "a plan is made by `build`"]
pub struct FaultPlanBuilder {
    seed: Seed,
    short_reads: f64,
    short_writes: f64,
    pending: f64,
    interrupted: f64,
    flipped_reads: f64,
    flipped_writes: f64,
    read: Bytes,
    write: Bytes,
}

impl FaultPlanBuilder {
    /// How probably a read gives less than there is room for, at least one byte.
    pub fn short_reads(mut self, probability: f64) -> Self {
        self.short_reads = probability;
        self
    }

    /// How probably a write takes less than it is given, at least one byte.
    pub fn short_writes(mut self, probability: f64) -> Self {
        self.short_writes = probability;
        self
    }

    /// How probably an operation (a read, write, flush or shutdown) is pending once more before
    /// it goes on. It wakes its task at once.
    pub fn pending(mut self, probability: f64) -> Self {
        self.pending = probability;
        self
    }

    /// How probably a read or a write fails with
    /// [`Interrupted`](std::io::ErrorKind::Interrupted) first. The next one of its direction goes
    /// through, so who tries again makes progress even at 1.
    ///
    /// tokio's own `read_exact`, `copy` and so on do not try again.
    pub fn interrupted(mut self, probability: f64) -> Self {
        self.interrupted = probability;
        self
    }

    /// How probably one bit of what is read is another one.
    pub fn flip_reads(mut self, probability: f64) -> Self {
        self.flipped_reads = probability;
        self
    }

    /// How probably one bit of what is written is another one. It is drawn for the bytes that are
    /// offered, and is no fault if it is in a part that the I/O below does not take.
    pub fn flip_writes(mut self, probability: f64) -> Self {
        self.flipped_writes = probability;
        self
    }

    /// After that many bytes were read, the connection is reset: all operations of both
    /// directions, also those that wait, fail with
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) from then on.
    ///
    /// The I/O below is not told: its peer sees an end when the `FaultIo` is dropped.
    pub fn reset_after_reading(mut self, bytes: u64) -> Self {
        self.read.reset = Some(bytes);
        self
    }

    /// As [`reset_after_reading`](Self::reset_after_reading), after that many bytes were written.
    pub fn reset_after_writing(mut self, bytes: u64) -> Self {
        self.write.reset = Some(bytes);
        self
    }

    /// Reading ends after that many bytes, as if the peer had shut its side down. Writing goes on.
    pub fn end_after_reading(mut self, bytes: u64) -> Self {
        self.read.end = Some(bytes);
        self
    }

    /// Writes fail with [`BrokenPipe`](std::io::ErrorKind::BrokenPipe) after that many bytes.
    /// Reading goes on, and so do flush and shutdown.
    pub fn break_after_writing(mut self, bytes: u64) -> Self {
        self.write.end = Some(bytes);
        self
    }

    /// The byte of this number, from 0, is not read before a read that would reach it has waited
    /// for `time`, on tokio's clock with its steps of a millisecond. It can be called again for
    /// other stalls.
    pub fn stall_reading_at(mut self, byte: u64, time: Duration) -> Self {
        self.read.stalls.push((byte, time));
        self
    }

    /// As [`stall_reading_at`](Self::stall_reading_at), for writes.
    pub fn stall_writing_at(mut self, byte: u64, time: Duration) -> Self {
        self.write.stalls.push((byte, time));
        self
    }

    /// Makes the plan.
    ///
    /// # Errors
    ///
    /// If a number is not a probability.
    pub fn build(self) -> Result<FaultPlan, FaultPlanError> {
        let pending = Probability::new("pending", self.pending)?;
        let interrupted = Probability::new("interrupted", self.interrupted)?;
        let way = |short, flipped, mut at: Bytes| {
            at.stalls.sort_by_key(|(byte, _)| *byte);
            Way { short, pending, interrupted, flipped, at }
        };
        Ok(FaultPlan {
            seed: self.seed,
            read: way(
                Probability::new("short_reads", self.short_reads)?,
                Probability::new("flip_reads", self.flipped_reads)?,
                self.read,
            ),
            write: way(
                Probability::new("short_writes", self.short_writes)?,
                Probability::new("flip_writes", self.flipped_writes)?,
                self.write,
            ),
        })
    }
}
