//! Forwarders that take a place in a queue before they have anything to put there.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::{sync::mpsc, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "idle-reservation",
    kind: Kind::Async,
    source: Source::GitHub("tower-rs/tower", 434),
    about: "those who have nothing to send hold all places of a queue, and nobody else gets one",
    tests: everywhere!(scenario),
};

async fn forward(mut from: mpsc::Receiver<u32>, to: mpsc::Sender<u32>, variant: Variant) {
    if variant.has_bug() {
        while let Ok(place) = to.reserve().await {
            let Some(message) = from.recv().await else { return };
            place.send(message);
        }
    } else {
        while let Some(message) = from.recv().await {
            if to.send(message).await.is_err() {
                return;
            }
        }
    }
}

async fn scenario(variant: Variant) {
    let (to, mut arrived) = mpsc::channel(2);
    let mut sources = Vec::new();
    for _ in 0..4 {
        let (source, from) = mpsc::channel(1);
        tokio::spawn(forward(from, to.clone(), variant));
        sources.push(source);
    }
    drop(to);
    yield_now().await;
    // The last one speaks first.
    for (source, number) in sources.iter().rev().zip(0..) {
        source.send(number).await.unwrap();
        assert_eq!(arrived.recv().await, Some(number));
    }
    drop(sources);
    assert_eq!(arrived.recv().await, None);
}
