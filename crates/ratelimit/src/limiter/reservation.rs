//! Tokens that are set aside.

use super::{RateLimiter, ticket::Ticket};
use crate::{
    AcquireError,
    clock::{Clock, TokioClock},
};
use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

/// Tokens that are set aside, now or once the time comes: a place in the line that needs nobody to wait.
///
/// Dropped without [`commit`](Self::commit), it leaves the line or gives the tokens back: as many of them as
/// have not come back by themselves since they were taken, as with [`Permit::refund`](crate::Permit::refund).
#[must_use = "a reservation that is dropped gives its tokens back"]
pub struct Reservation<C: Clock = TokioClock> {
    limiter: RateLimiter<C>,
    cost: u64,
    ticket: Ticket,
}

impl<C: Clock> Reservation<C> {
    pub(super) fn new(
        limiter: &RateLimiter<C>,
        cost: u64,
        within: Option<Duration>,
    ) -> Result<Self, AcquireError> {
        let ticket = Ticket::take(&limiter.shared, cost, super::deadline(within), None)?;
        Ok(Self { limiter: limiter.clone(), cost, ticket })
    }

    /// How many tokens it is for.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// After which time its tokens are there, if nothing changes: none of it, if they are.
    ///
    /// Others that give up their places ahead of it make it less. The limits are asked anew: this takes
    /// time in proportion to those ahead.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.ticket.delay(&self.limiter.shared)
    }

    /// Waits until its tokens are there.
    ///
    /// # Errors
    ///
    /// If a change of the limits has made it impossible, in time or at all.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with time enabled, if it has to wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the reservation keeps its place. Tested by `a_reservation_keeps_its_place`.
    pub async fn ready(&mut self) -> Result<(), AcquireError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// The same for who polls.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    ///
    /// # Panics
    ///
    /// As [`ready`](Self::ready).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AcquireError>> {
        self.ticket.poll(&self.limiter.shared, cx)
    }

    /// Whether its tokens are there.
    #[must_use]
    pub fn is_ready(&mut self) -> bool {
        self.ticket.outcome(&self.limiter.shared);
        self.ticket.passes()
    }

    /// Spends the tokens.
    ///
    /// # Errors
    ///
    /// The reservation itself, if the tokens are not there.
    pub fn commit(mut self) -> Result<(), Self> {
        if !self.is_ready() {
            return Err(self);
        }
        self.ticket.spend();
        Ok(())
    }
}

impl<C: Clock> Drop for Reservation<C> {
    fn drop(&mut self) {
        self.ticket.cancel(&self.limiter.shared, self.cost);
    }
}

impl<C: Clock> fmt::Debug for Reservation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cost, ticket, .. } = self;
        f.debug_struct("Reservation")
            .field("cost", cost)
            .field("ticket", ticket)
            .finish_non_exhaustive()
    }
}
