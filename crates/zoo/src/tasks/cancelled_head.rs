//! A fair semaphore, and the first in its queue, who goes away.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Poll, Waker},
};
use tidegate_testkit::bubble;
use tokio::task::yield_now;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "cancelled-head",
    kind: Kind::Async,
    source: Source::GitHub("embassy-rs/embassy", 6964),
    about: "the first in a queue gives up, and nobody wakes the next, for whom there is enough",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

#[derive(Default)]
struct State {
    permits: usize,
    next_ticket: u64,
    queue: VecDeque<(u64, Waker)>,
}

struct Semaphore(Mutex<State>, Variant);

/// A place in the queue.
struct Ticket<'a>(&'a Semaphore, u64);

impl Semaphore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn wake_first(&self) {
        let first = self.state().queue.front().map(|(_, waker)| waker.clone());
        if let Some(first) = first {
            first.wake();
        }
    }

    async fn acquire(&self, count: usize) {
        let ticket = {
            let mut state = self.state();
            state.next_ticket += 1;
            Ticket(self, state.next_ticket)
        };
        poll_fn(|cx| {
            let mut state = self.state();
            let place = state.queue.iter().position(|(number, _)| *number == ticket.1);
            if place.unwrap_or(state.queue.len()) == 0 && state.permits >= count {
                state.permits -= count;
                return Poll::Ready(());
            }
            match place {
                Some(place) => state.queue[place].1.clone_from(cx.waker()),
                None => state.queue.push_back((ticket.1, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await;
        self.state().queue.retain(|(number, _)| *number != ticket.1);
        self.wake_first();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.state().queue.retain(|(number, _)| *number != self.1);
        if !self.0.1.has_bug() {
            self.0.wake_first();
        }
    }
}

async fn scenario(variant: Variant) {
    let state = State { permits: 1, ..State::default() };
    let semaphore = Arc::new(Semaphore(Mutex::new(state), variant));
    let acquire = |count| {
        let semaphore = Arc::clone(&semaphore);
        tokio::spawn(async move { semaphore.acquire(count).await })
    };
    let large = acquire(2);
    yield_now().await;
    let small = acquire(1);
    yield_now().await;
    assert!(!small.is_finished(), "it is fair");
    large.abort();
    small.await.unwrap();
}
