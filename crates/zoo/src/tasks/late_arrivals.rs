//! A queue that is emptied before it is closed.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::{sync::mpsc, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "late-arrivals",
    kind: Kind::Async,
    source: Source::GitHub("rust-lang/futures-rs", 104),
    about: "what arrives between the last look and the close was accepted, and is dropped",
    tests: everywhere!(scenario),
};

/// Writes down what is queued, and says how much that was.
async fn shut_down(mut queue: mpsc::Receiver<u32>, variant: Variant) -> usize {
    let mut log = Vec::new();
    if variant.has_bug() {
        while let Ok(message) = queue.try_recv() {
            log.push(message);
        }
    } else {
        queue.close();
        while let Some(message) = queue.recv().await {
            log.push(message);
        }
    }
    yield_now().await; // It is on the disk.
    log.len()
}

async fn scenario(variant: Variant) {
    let (sender, queue) = mpsc::channel(2);
    let producer = tokio::spawn(async move {
        let mut accepted = 0;
        while sender.send(7).await.is_ok() {
            accepted += 1;
        }
        accepted
    });
    yield_now().await;
    let done = shut_down(queue, variant).await;
    assert_eq!(producer.await.unwrap(), done, "accepted, and done");
}
