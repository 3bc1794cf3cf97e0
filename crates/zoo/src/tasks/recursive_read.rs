//! A lock that is read again while it is read, and a writer that comes in between.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::sync::Arc;
use tokio::{sync::RwLock, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "recursive-read",
    kind: Kind::Async,
    source: Source::GitHub("tokio-rs/tokio", 2849),
    about: "a second read lock waits behind a writer, which waits for the first one",
    tests: everywhere!(scenario),
};

/// Some figures, and their sum.
#[derive(Default)]
struct Ledger(RwLock<Vec<u32>>);

impl Ledger {
    async fn sum(&self) -> u32 {
        self.0.read().await.iter().sum()
    }

    async fn mean(&self, variant: Variant) -> u32 {
        let entries = self.0.read().await;
        yield_now().await; // Something else to look up.
        let sum = if variant.has_bug() { self.sum().await } else { entries.iter().sum() };
        sum / u32::try_from(entries.len()).unwrap()
    }
}

async fn scenario(variant: Variant) {
    let ledger = Arc::new(Ledger(RwLock::new(vec![1, 2, 3])));
    let other = Arc::clone(&ledger);
    let writer = tokio::spawn(async move { other.0.write().await.push(6) });
    let mean = ledger.mean(variant).await;
    assert!(mean == 2 || mean == 3, "{mean}");
    writer.await.unwrap();
    assert_eq!(ledger.mean(variant).await, 3);
}
