//! A place in the line, and what it costs.

use super::{
    shared::Shared,
    waiters::{Joined, Seen},
};
use crate::{AcquireError, clock::Clock};
use std::{
    mem::replace,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// What an [`Acquire`](super::Acquire) or a [`Reservation`](super::Reservation) holds of the limiter.
///
/// | state | tokens | dropped |
/// |---|---|---|
/// | waits | none | leaves the line |
/// | passes | taken | gives them back |
/// | fails | none | |
/// | done | spent | |
#[derive(Debug)]
pub(crate) enum Ticket {
    /// Its place in the table of waiters, and its seat at the timers once it was polled.
    Waits {
        key: usize,
        seat: Option<usize>,
    },
    /// When its tokens were taken.
    Passes(u64),
    Fails(AcquireError),
    Done,
}

impl Ticket {
    /// Passes at once, or joins the line.
    pub(crate) fn take<C: Clock>(
        shared: &Arc<Shared<C>>,
        cost: u64,
        deadline: impl FnOnce(u64) -> u64,
        waker: Option<&Waker>,
    ) -> Result<Self, AcquireError> {
        if let Some(taken_at) = shared.try_take_fast(cost) {
            return Ok(Self::Passes(taken_at));
        }
        // Who passes has no need of it, and it is dropped here, where there is no lock.
        let mut waker = waker.cloned();
        Ok(match shared.take_or_join(cost, deadline, &mut waker)? {
            Joined::Passes(taken_at) => Self::Passes(taken_at),
            Joined::Waits(key) => Self::Waits { key, seat: None },
        })
    }

    /// Whether it passes now; if not, the waker is woken when it does.
    pub(crate) fn poll<C: Clock>(
        &mut self,
        shared: &Arc<Shared<C>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), AcquireError>> {
        self.look(shared, Some(cx.waker()));
        match self {
            Self::Waits { seat, .. } => {
                Self::sit(shared, seat);
                Poll::Pending
            }
            Self::Fails(error) => Poll::Ready(Err(*error)),
            Self::Passes(_) | Self::Done => Poll::Ready(Ok(())),
        }
    }

    /// Brings it up to date.
    pub(super) fn look<C: Clock>(&mut self, shared: &Arc<Shared<C>>, waker: Option<&Waker>) {
        let Self::Waits { key, seat } = *self else { return };
        let mut clone = None;
        let seen = loop {
            match shared.with(|state, _| state.look(key, waker, &mut clone)) {
                // Polled by another task, or after all had to look for themselves.
                Seen::WaitsElsewhere => clone = waker.cloned(),
                seen => break seen,
            }
        };
        *self = match seen {
            Seen::Passes(taken_at) => Self::Passes(taken_at),
            Seen::Fails(error) => Self::Fails(error),
            Seen::Waits | Seen::WaitsElsewhere => return,
        };
        if let Some(seat) = seat {
            shared.driver.leave(seat);
        }
    }

    /// Sees to it that a timer of the runtime that polls it rings.
    fn sit<C: Clock>(shared: &Arc<Shared<C>>, seat: &mut Option<usize>) {
        if let Some(old) = seat.filter(|seat| !shared.driver.is_here(*seat)) {
            *seat = None;
            shared.driver.leave(old);
        }
        if seat.is_none() {
            let (taken, is_new) = shared.driver.enter(|| shared.clock.timer());
            *seat = Some(taken);
            if is_new {
                shared.drive();
            }
        }
    }

    /// The tokens are spent; says when they were taken.
    pub(crate) fn spend(&mut self) -> u64 {
        // In all builds: a future that is polled once more after it was ready would make tokens.
        let Self::Passes(taken_at) = *self else { panic!("only what was taken can be spent") };
        *self = Self::Done;
        taken_at
    }

    /// Leaves the line, or gives the tokens back.
    pub(crate) fn cancel<C: Clock>(&mut self, shared: &Arc<Shared<C>>, cost: u64) {
        match replace(self, Self::Done) {
            Self::Waits { key, seat } => {
                let waker = shared.with(|state, now| state.cancel(now, key, cost));
                drop(waker);
                if let Some(seat) = seat {
                    shared.driver.leave(seat);
                }
            }
            Self::Passes(taken_at) => shared.give_back(cost, taken_at),
            Self::Fails(_) | Self::Done => {}
        }
    }

    /// Whether its tokens are there, as far as it knows.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Passes(_))
    }

    /// What it has come to, up to now; none, while it waits.
    pub(crate) fn outcome<C: Clock>(
        &mut self,
        shared: &Arc<Shared<C>>,
    ) -> Option<Result<(), AcquireError>> {
        self.look(shared, None);
        match *self {
            Self::Waits { .. } => None,
            Self::Fails(error) => Some(Err(error)),
            Self::Passes(_) | Self::Done => Some(Ok(())),
        }
    }

    /// After which time its tokens are there, if nothing changes.
    pub(crate) fn delay<C: Clock>(&self, shared: &Arc<Shared<C>>) -> Duration {
        match *self {
            Self::Waits { key, .. } => shared.delay(key),
            _ => Duration::ZERO,
        }
    }
}
