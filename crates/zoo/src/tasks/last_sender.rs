//! A channel whose last sender is dropped while the receiver waits.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};
use tokio::task::yield_now;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "last-sender",
    kind: Kind::Async,
    source: Source::GitHub("HFQR/xitca-web", 251),
    about: "the last sender goes without waking the receiver, which waits for ever",
    tests: everywhere!(scenario),
};

#[derive(Default)]
struct State {
    queue: VecDeque<u32>,
    is_closed: bool,
    receiver: Option<Waker>,
}

type Shared = Arc<Mutex<State>>;

struct Sender(Shared, Variant);

impl Sender {
    fn wake(&self) {
        let receiver = self.0.lock().unwrap().receiver.take();
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    fn send(&self, value: u32) {
        self.0.lock().unwrap().queue.push_back(value);
        self.wake();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().unwrap().is_closed = true;
        if !self.1.has_bug() {
            self.wake();
        }
    }
}

async fn recv(shared: &Shared) -> Option<u32> {
    poll_fn(|cx| {
        let mut state = shared.lock().unwrap();
        match state.queue.pop_front() {
            Some(value) => Poll::Ready(Some(value)),
            None if state.is_closed => Poll::Ready(None),
            None => {
                state.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

async fn scenario(variant: Variant) {
    let shared = Shared::default();
    let sender = Sender(Arc::clone(&shared), variant);
    let receiver = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(value) = recv(&shared).await {
            sum += value;
        }
        sum
    });
    for value in 0..5 {
        sender.send(value);
        yield_now().await;
    }
    drop(sender);
    assert_eq!(receiver.await.unwrap(), 10);
}
