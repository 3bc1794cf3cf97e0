//! A channel whose last receiver is dropped while a sender waits for room.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::sync::Arc;
use tokio::{
    sync::{Semaphore, mpsc},
    task::yield_now,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "last-receiver",
    kind: Kind::Async,
    source: Source::GitHub("async-rs/async-std", 472),
    about: "the last receiver goes, and a sender waits for ever for room in the channel",
    tests: everywhere!(scenario),
};

/// A channel whose bytes are bounded, rather than its messages.
#[derive(Clone)]
struct Sender(mpsc::Sender<Vec<u8>>, Arc<Semaphore>);

struct Receiver(mpsc::Receiver<Vec<u8>>, Arc<Semaphore>, Variant);

impl Sender {
    async fn send(&self, message: Vec<u8>) -> Result<(), Vec<u8>> {
        let bytes = u32::try_from(message.len()).unwrap();
        match self.1.acquire_many(bytes).await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(message),
        }
        self.0.send(message).await.map_err(|error| error.0)
    }
}

impl Receiver {
    async fn recv(&mut self) -> Option<Vec<u8>> {
        let message = self.0.recv().await?;
        self.1.add_permits(message.len());
        Some(message)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.2.has_bug() {
            self.1.close();
        }
    }
}

async fn scenario(variant: Variant) {
    let (outbox, inbox) = mpsc::channel(8);
    let room = Arc::new(Semaphore::new(10));
    let sender = Sender(outbox, Arc::clone(&room));
    let mut receiver = Receiver(inbox, room, variant);
    sender.send(vec![0; 6]).await.unwrap();
    let other = sender.clone();
    let waits = tokio::spawn(async move { other.send(vec![1; 6]).await });
    yield_now().await;
    assert_eq!(receiver.recv().await.unwrap().len(), 6);
    waits.await.unwrap().unwrap();

    let waits = tokio::spawn(async move { sender.send(vec![2; 6]).await });
    yield_now().await;
    drop(receiver);
    assert_eq!(waits.await.unwrap(), Err(vec![2; 6]));
}
