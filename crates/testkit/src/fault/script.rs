//! What becomes of the operations of one direction, one after the other.
//!
//! Whatever is drawn is drawn once for an operation, not once for a poll: how often a task is
//! woken depends on others, and must not change what the seed does.

use super::plan::Way;
use crate::{Rng, rng::below};
use std::{mem::take, time::Duration};

/// The state of one direction. It does no I/O, and waits for nothing.
#[derive(Debug)]
pub(super) struct Script {
    plan: Way,
    rng: Rng,
    /// How many bytes went through.
    position: u64,
    /// How many of the stalls are over, or under way.
    stalls: usize,
    /// What was drawn for the operation under way.
    drawn: Option<Drawn>,
}

/// One operation, of which there may be several polls.
#[derive(Debug)]
struct Drawn {
    is_pending: bool,
    is_interrupted: bool,
    short: Option<u64>,
    flip: Option<u64>,
}

/// What the next poll is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There are no more bytes in this direction.
    End,
    /// Wait for so long, and ask again.
    Stall(Duration),
    /// Be pending once.
    Yield,
    /// Fail with `Interrupted`.
    Interrupt,
    /// Let bytes through.
    Pass(Passage),
}

/// How an operation goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// No more bytes than this, which is at least 1.
    pub(super) limit: usize,
    /// Whether the limit is there by chance.
    pub(super) is_short: bool,
    /// One bit of them is to be flipped.
    flip: Option<u64>,
}

impl Passage {
    /// Which of `bytes` bytes is changed, and by which mask.
    pub(super) fn flip(&self, bytes: usize) -> Option<(usize, u8)> {
        let bits = u64::try_from(bytes).ok()?.saturating_mul(8);
        let bit = below(self.flip?, bits);
        let byte = usize::try_from(bit / 8).ok()?;
        (byte < bytes).then_some((byte, 1 << (bit % 8)))
    }
}

impl Script {
    pub(super) fn new(plan: Way, rng: Rng) -> Self {
        Self { plan, rng, position: 0, stalls: 0, drawn: None }
    }

    /// What to do about an operation for `wanted` bytes, which is at least 1.
    pub(super) fn step(&mut self, wanted: usize) -> Step {
        if self.is_at(self.plan.at.end) {
            return Step::End;
        }
        if let Some(&(byte, time)) = self.plan.at.stalls.get(self.stalls) {
            if byte <= self.position {
                self.stalls += 1;
                return Step::Stall(time);
            }
        }
        let drawn = self.drawn.get_or_insert_with(|| Drawn::draw(&self.plan, &mut self.rng));
        // What has happened does not happen to it again: so it makes progress in any case.
        if take(&mut drawn.is_pending) {
            return Step::Yield;
        }
        if take(&mut drawn.is_interrupted) {
            return Step::Interrupt;
        }
        let (short, flip) = (drawn.short, drawn.flip);
        let wanted = wanted.min(self.until_next());
        let less = u64::try_from(wanted).unwrap_or(u64::MAX) - 1;
        let limit = short.filter(|_| less > 0).map(|drawn| 1 + below(drawn, less));
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Step::Pass(Passage { limit: limit.unwrap_or(wanted), is_short: limit.is_some(), flip })
    }

    /// So many bytes of the operation went through, and it is over.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.position += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.drawn = None;
    }

    /// Whether the connection is reset by what went through.
    pub(super) fn resets(&self) -> bool {
        self.is_at(self.plan.at.reset)
    }

    fn is_at(&self, place: Option<u64>) -> bool {
        place.is_some_and(|byte| byte <= self.position)
    }

    /// How many bytes there are before the next place at which something happens.
    fn until_next(&self) -> usize {
        let stall = self.plan.at.stalls.get(self.stalls).map(|(byte, _)| *byte);
        let places = [self.plan.at.reset, self.plan.at.end, stall];
        let next = places.into_iter().flatten().filter(|byte| *byte > self.position).min();
        next.map_or(usize::MAX, |byte| usize::try_from(byte - self.position).unwrap_or(usize::MAX))
    }
}

impl Drawn {
    /// Takes the same count of numbers in any case: a probability that is changed leaves the
    /// faults of the others where they are.
    fn draw(plan: &Way, rng: &mut Rng) -> Self {
        let mut maybe = |probability: super::probability::Probability| {
            let (happens, how) = (probability.happens(rng), rng.next_u64());
            happens.then_some(how)
        };
        Self {
            is_pending: maybe(plan.pending).is_some(),
            is_interrupted: maybe(plan.interrupted).is_some(),
            short: maybe(plan.short),
            flip: maybe(plan.flipped),
        }
    }
}
