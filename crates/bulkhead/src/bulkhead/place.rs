//! A place in the line, and what has become of it.

use super::{Ask, Permit, shared::Shared};
use crate::{
    AcquireError,
    state::{Asked, Joined},
};
use std::{
    future::Future,
    mem::{replace, swap},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tidegate_core::sync::Arc;
use tokio::time::Instant;

type End = Result<Permit, AcquireError>;

/// Waits for permits, without a timer.
///
/// | state | permits | dropped |
/// |---|---|---|
/// | new | none | |
/// | waits | none, or taken for it | leaves the line, or gives them back |
/// | done | handed out, if it entered | |
#[derive(Debug)]
pub(crate) struct Place {
    ask: Ask,
    state: State,
}

#[derive(Debug)]
enum State {
    New(Arc<Shared>),
    Waits(Arc<Shared>, usize, Option<Instant>),
    Done,
}

/// What is to be seen at a place.
enum Seen {
    /// It waits, and whoever looks is woken.
    Waits,
    /// It waits, and something else is woken.
    WaitsForAnother,
    Ends(Result<(), AcquireError>),
}

impl Place {
    pub(super) fn new(shared: Arc<Shared>, ask: Ask) -> Self {
        Self { ask, state: State::New(shared) }
    }

    /// Takes permits, or a place in the line, with somebody to be woken or without.
    fn join(&mut self, shared: Arc<Shared>, waker: Option<&Waker>) -> Poll<End> {
        let Ask { weight, priority, .. } = self.ask;
        if shared.try_take_fast(weight) {
            return Poll::Ready(Ok(Permit::new(shared, weight)));
        }
        shared.tick();
        let deadline = self.ask.deadline(shared.face.max_wait);
        let at = deadline.map_or(u64::MAX, |deadline| shared.face.clock.at(deadline));
        let asked = Asked { weight, priority, deadline: at };
        // Foreign code, and so not under the lock.
        let mut waker = waker.cloned();
        let joined = shared.with(|state, now| state.join(now, asked, &mut waker));
        match joined {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Joined::Enters) => Poll::Ready(Ok(Permit::new(shared, weight))),
            Ok(Joined::Waits(key)) => {
                self.state = State::Waits(shared, key, deadline);
                // It may have entered at once.
                self.look(None)
            }
        }
    }

    /// The same as a poll, for who has nobody to be woken yet.
    pub(super) fn enter(&mut self) -> Poll<End> {
        match replace(&mut self.state, State::Done) {
            State::New(shared) => self.join(shared, None),
            other => {
                self.state = other;
                Poll::Pending
            }
        }
    }

    /// When to call [`rings`](Self::rings): when it has to have entered, or when more may enter though none
    /// comes back.
    pub(super) fn alarm(&self) -> Option<Instant> {
        let State::Waits(shared, _, deadline) = &self.state else { return None };
        deadline.iter().copied().chain(shared.due()).min()
    }

    /// It is time: it has entered by now, or does not if its time is over.
    pub(super) fn rings(&mut self, waker: &Waker) -> Poll<End> {
        if let State::Waits(shared, key, deadline) = &self.state {
            shared.tick();
            let deadline = deadline.map_or(u64::MAX, |deadline| shared.face.clock.at(deadline));
            shared.with(|state, now| {
                if now >= deadline {
                    state.queue.expire(now, *key);
                }
            });
        }
        self.look(Some(waker))
    }

    /// What has become of it, if anything has; if not, the waker is woken when something does.
    fn look(&mut self, waker: Option<&Waker>) -> Poll<End> {
        let State::Waits(shared, key, _) = &self.state else { return Poll::Pending };
        let key = *key;
        let mut seen = shared.with(|state, _| match state.queue.waiter(key) {
            None => Seen::of(state.queue.collect(key)),
            Some(old) if waker.is_none_or(|new| is_same(old.as_ref(), new)) => Seen::Waits,
            Some(_) => Seen::WaitsForAnother,
        });
        if matches!(seen, Seen::WaitsForAnother) {
            // Foreign code, and so not under the lock.
            let mut waker = waker.cloned();
            seen = shared.with(|state, _| {
                if let Some(old) = state.queue.waiter(key) {
                    swap(old, &mut waker);
                }
                Seen::of(state.queue.collect(key))
            });
        }
        let Seen::Ends(end) = seen else { return Poll::Pending };
        let State::Waits(shared, ..) = replace(&mut self.state, State::Done) else {
            return Poll::Pending;
        };
        Poll::Ready(end.map(|()| Permit::new(shared, self.ask.weight)))
    }
}

impl Seen {
    fn of(end: Option<Result<(), AcquireError>>) -> Self {
        end.map_or(Self::Waits, Self::Ends)
    }
}

fn is_same(old: Option<&Waker>, new: &Waker) -> bool {
    old.is_some_and(|old| old.will_wake(new))
}

impl Future for Place {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.get_mut();
        match replace(&mut this.state, State::Done) {
            State::New(shared) => this.join(shared, Some(cx.waker())),
            waits @ State::Waits(..) => {
                this.state = waits;
                this.look(Some(cx.waker()))
            }
            State::Done => panic!("polled after it was ready"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let State::Waits(shared, key, _) = replace(&mut self.state, State::Done) {
            let weight = self.ask.weight;
            let waker = shared.with(|state, now| state.cancel(now, key, weight));
            drop(waker);
        }
    }
}
