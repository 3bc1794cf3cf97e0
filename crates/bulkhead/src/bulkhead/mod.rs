//! The bulkhead: one handle for all who share it.

mod acquire;
mod adapt;
mod ask;
mod builder;
mod drained;
mod event;
mod holders;
mod locked;
#[cfg(all(test, tidegate_loom))]
mod loom_tests;
mod permit;
mod place;
mod shared;
mod stats;

pub use self::{
    acquire::{Acquire, Reservation},
    ask::Ask,
    builder::{BulkheadBuilder, DEFAULT_MAX_WAITING, DEFAULT_PATIENCE},
    drained::Drained,
    event::Event,
    permit::{Permit, PermitRef},
    stats::Stats,
};
pub(crate) use self::{builder::check_capacity, permit::endings, shared::Face};

use self::{locked::Locked, shared::Shared};
use crate::{AcquireError, ConfigError, Entering, TryAcquireError, state::Count};
use std::{
    fmt,
    sync::{OnceLock, Weak},
    time::Duration,
};
use tidegate_core::{Name, inspect::Resource, sync::Arc};
use tokio::time::Instant;

/// Lets in so many at a time, whoever asks, and however. Clones share one.
///
/// See the [crate](crate) for what to use when.
#[derive(Clone)]
pub struct Bulkhead {
    shared: Arc<Shared>,
}

impl Bulkhead {
    /// A bulkhead of so many permits, to be built.
    pub fn builder(capacity: u32) -> BulkheadBuilder {
        BulkheadBuilder::new(capacity)
    }

    /// One of a family, with a capacity of its own.
    pub(crate) fn of(face: Arc<Face>, capacity: Option<u32>) -> Self {
        let capacity = capacity.unwrap_or(face.rules.capacity).min(Count::MAX);
        Self { shared: Arc::new(Shared::new(face, capacity)) }
    }

    /// Takes a permit, or none. Does not overtake anybody who waits.
    ///
    /// # Errors
    ///
    /// If there is none, if others wait, or if it was closed.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits, or none.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), and if there are not as many.
    #[inline]
    pub fn try_acquire_many(&self, n: u32) -> Result<Permit, TryAcquireError> {
        self.shared.try_take(n)?;
        Ok(Permit::new(Arc::clone(&self.shared), n))
    }

    /// Takes `n` permits, or none, and borrows the bulkhead for as long as they are out: with one
    /// compare-and-swap here and one when they come back.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_many`](Self::try_acquire_many).
    #[inline]
    pub fn try_acquire_ref(&self, n: u32) -> Result<PermitRef<'_>, TryAcquireError> {
        self.shared.try_take(n)?;
        Ok(PermitRef::new(&self.shared, n))
    }

    /// Waits for a permit. First come, first served, unless the [order](BulkheadBuilder::order) is another;
    /// whoever waits is not overtaken by who does not.
    ///
    /// # Errors
    ///
    /// If as many wait as may, if it is shed or has waited for as long as anybody may, or if the bulkhead
    /// was closed, before or meanwhile.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if it has to wait and may not do so for ever, or if there is a
    /// [limit](BulkheadBuilder::limit) that finds itself.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken nothing: it leaves the line, and what was taken for it already is given back
    /// to the next, both in constant time. Its place in the line is lost. Tested by
    /// `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire(&self) -> Acquire {
        self.acquire_with(Ask::new(1))
    }

    /// Waits for `n` permits. Nobody who comes later goes first because it asks for fewer.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and at once if there are not as many, or as soon as there are no
    /// longer, after a [resize](Self::resize).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_many(&self, n: u32) -> Acquire {
        self.acquire_with(Ask::new(n))
    }

    /// Waits for `n` permits, for so long at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many), and if it has not entered in time.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_within(&self, n: u32, timeout: Duration) -> Acquire {
        self.acquire_with(Ask::new(n).within(timeout))
    }

    /// Waits for `n` permits, until then at most, by tokio's clock.
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_until(&self, n: u32, deadline: Instant) -> Acquire {
        self.acquire_with(Ask::new(n).until(deadline))
    }

    /// Waits for what an [`Ask`] says.
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within), and if it had to make room for somebody more urgent.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Tested by `acquire_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn acquire_with(&self, ask: Ask) -> Acquire {
        Acquire::new(&self.shared, ask)
    }

    /// Takes permits, if the word alone can say so.
    #[inline]
    pub(crate) fn take_now(&self, weight: u32) -> Option<Permit> {
        let is_taken = self.shared.try_take_fast(weight);
        is_taken.then(|| Permit::new(Arc::clone(&self.shared), weight))
    }

    /// Takes permits, or a place in the line before the first poll.
    #[track_caller]
    pub(crate) fn join(&self, ask: Ask) -> Result<Entering<Permit, Acquire>, AcquireError> {
        Acquire::join(&self.shared, ask)
    }

    /// Takes a permit, or a place in the line for as long as it takes.
    #[track_caller]
    pub(crate) fn reserve_one(&self) -> Result<Entering<Permit, Reservation>, AcquireError> {
        Reservation::join(&self.shared, Ask::new(1))
    }

    /// Changes how many permits there are, at once and for all who wait. Fewer than are in use takes nothing
    /// from those who have them: nobody enters until enough have come back. Who waits for more than there
    /// are now fails.
    ///
    /// # Errors
    ///
    /// If nothing would ever enter, if it is too many, or if a [limit](BulkheadBuilder::limit) says how many
    /// there are; then nothing has changed.
    pub fn resize(&self, capacity: u32) -> Result<(), ConfigError> {
        check_capacity(capacity)?;
        if self.shared.adapt.is_some() {
            return Err(ConfigError::Adapts);
        }
        self.resize_to(|| capacity);
        Ok(())
    }

    /// The same with a capacity that is asked for once nothing else can change it; any number.
    pub(crate) fn resize_to(&self, capacity: impl FnOnce() -> u32) {
        self.shared.with(|state, now| state.resize(now, capacity().min(Count::MAX)));
    }

    /// Lets nobody in any more. Who waits fails; permits that are out stay valid, and
    /// [`drained`](Self::drained) waits for them. Closing again does nothing.
    pub fn close(&self) {
        self.shared.with(Locked::close);
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stats().is_closed
    }

    /// Waits until nothing is in use and nobody waits, if only for a moment: [close](Self::close) it first
    /// for it to stay so.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done nothing. Tested by
    /// `waiting_for_a_drain_gives_up_everything_at_every_await`.
    #[track_caller]
    pub fn drained(&self) -> Drained {
        Drained::new(Arc::clone(&self.shared), &self.shared.face.resource)
    }

    /// How many permits there are. Takes no lock.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.shared.count().capacity
    }

    /// How many permits are in use. Takes no lock, and is old news while others take and give back.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.shared.count().in_use
    }

    /// How it stands, and what those who waited have come to.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.face.name
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared } = self;
        let count = shared.count();
        f.debug_struct("Bulkhead")
            .field("name", &shared.face.name)
            .field("capacity", &count.capacity)
            .field("in_use", &count.in_use)
            .finish_non_exhaustive()
    }
}

/// The bulkhead in the pictures of the inspection.
#[track_caller]
fn resource(me: Arc<OnceLock<Weak<Shared>>>, name: Name) -> Resource {
    Resource::with_details("bulkhead", name, move || {
        let Some(shared) = me.get().and_then(Weak::upgrade) else { return Vec::new() };
        let Stats { capacity, in_use, waiting, queued, is_closed, .. } = shared.stats();
        let mut details = vec![
            ("capacity", capacity.to_string()),
            ("in use", in_use.to_string()),
            ("waiting", waiting.to_string()),
            ("queued", queued.to_string()),
        ];
        if is_closed {
            details.push(("closed", true.to_string()));
        }
        if let Some(holders) = &shared.face.holders {
            let (holders, oldest) = holders.oldest(shared.face.clock);
            details.push(("holders", holders.to_string()));
            details.extend(oldest.map(|oldest| ("oldest", format!("{oldest:?}"))));
        }
        details
    })
}
