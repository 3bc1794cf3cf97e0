//! A waker that is stored once, though its future moves to another task.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use futures::future::poll_immediate;
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};
use tokio::task::yield_now;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "stale-waker",
    kind: Kind::Async,
    source: Source::GitHub("Matthias247/futures-intrusive", 18),
    about: "an event wakes the task that polled its future first, not the one that has it now",
    tests: everywhere!(scenario),
};

#[derive(Default)]
struct State {
    is_set: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Default)]
struct Event(Arc<Mutex<State>>);

struct Wait(Event, Variant);

impl Event {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.is_set = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.0.lock().unwrap();
        if state.is_set {
            return Poll::Ready(());
        }
        if state.waker.is_none() || !self.1.has_bug() {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

async fn scenario(variant: Variant) {
    let event = Event::default();
    let mut wait = Wait(event.clone(), variant);
    assert!(poll_immediate(&mut wait).await.is_none(), "looks first, and then lets a task wait");
    let waiter = tokio::spawn(wait);
    yield_now().await;
    event.set();
    waiter.await.unwrap();
}
