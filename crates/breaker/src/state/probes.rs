//! The calls that a half-open breaker lets pass: each is a lease that expires.

use super::tally::{Sample, Tally};
use std::num::NonZeroU32;

/// Which probe it is.
pub(crate) type Id = NonZeroU32;

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: Id,
    until: u64,
}

/// Who probes, and what the probes have said so far.
#[derive(Clone, Debug)]
pub(super) struct Probes {
    leases: Vec<Lease>,
    answers: Tally,
    bad: u32,
    given: u32,
    /// Since when somebody has a lease and nobody answers.
    silent: Option<u64>,
}

impl Probes {
    /// With room for so many leases, so that none of them allocates.
    pub(super) fn new(most: u32) -> Self {
        let leases = Vec::with_capacity(most as usize);
        Self { leases, answers: Tally::default(), bad: 0, given: 0, silent: None }
    }

    /// Starts over. Who probed before is not known any more.
    pub(super) fn clear(&mut self) {
        self.leases.clear();
        (self.answers, self.bad, self.silent) = (Tally::default(), 0, None);
    }

    /// Lets one more pass, unless `most` have answered or have time to. It takes the place of the one whose lease
    /// has ended first; as long as there are other places, that one may still answer.
    ///
    /// # Errors
    ///
    /// When the first of the leases ends.
    pub(super) fn enter(&mut self, now: u64, lease: u64, most: u32) -> Result<Id, u64> {
        let taken = self.leases.len() as u64 + self.answers.calls;
        if taken >= u64::from(most) {
            let first = |(_, lease): &(usize, &Lease)| (lease.until, lease.id);
            match self.leases.iter().enumerate().min_by_key(first) {
                Some((at, lease)) if lease.until <= now => drop(self.leases.swap_remove(at)),
                first => return Err(first.map_or(now, |(_, lease)| lease.until)),
            }
        }
        self.silent.get_or_insert(now);
        self.given = self.given.wrapping_add(1);
        let id = NonZeroU32::new(self.given).unwrap_or_else(|| {
            self.given = 1;
            NonZeroU32::MIN
        });
        self.leases.push(Lease { id, until: now.saturating_add(lease) });
        Ok(id)
    }

    /// Takes the lease back, and says whether it was not another's yet.
    pub(super) fn leave(&mut self, id: Id) -> bool {
        let at = self.leases.iter().position(|lease| lease.id == id);
        at.map(|at| self.leases.swap_remove(at)).is_some()
    }

    pub(super) fn is_live(&self, id: Id) -> bool {
        self.leases.iter().any(|lease| lease.id == id)
    }

    /// Whether there was no answer for so long, though there was somebody who could have given one.
    pub(super) fn is_silent(&self, now: u64, most: u64) -> bool {
        self.silent.is_some_and(|since| now.saturating_sub(since) >= most)
    }

    /// Starts the lease again.
    pub(super) fn renew(&mut self, now: u64, id: Id, lease: u64) {
        if let Some(mine) = self.leases.iter_mut().find(|lease| lease.id == id) {
            mine.until = now.saturating_add(lease);
        }
    }

    pub(super) fn answer(&mut self, now: u64, sample: Sample) {
        self.silent = (!self.leases.is_empty()).then_some(now);
        self.answers.add(sample);
        self.bad += u32::from(sample.is_bad());
    }

    /// What the answers say of `most` probes, of which `too_many` are not to be bad: as soon as those that
    /// have not answered cannot change it.
    pub(super) fn verdict(&self, most: u32, too_many: u32) -> Option<bool> {
        let open = u64::from(most).saturating_sub(self.answers.calls);
        if self.bad >= too_many {
            Some(false)
        } else {
            (u64::from(self.bad) + open < too_many.into()).then_some(true)
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.leases.len()
    }

    /// What they have answered.
    pub(super) fn tally(&self) -> Tally {
        self.answers
    }
}
