//! Two actors that answer each other into full mailboxes.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::sync::mpsc;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "channel-cycle",
    kind: Kind::Async,
    source: Source::GitHub("chroma-core/chroma", 5283),
    about: "a dispatcher waits for room at its worker, which waits for room at the dispatcher",
    tests: everywhere!(scenario),
};

async fn worker(mut jobs: mpsc::Receiver<u32>, done: mpsc::Sender<u32>) {
    while let Some(job) = jobs.recv().await {
        if done.send(job).await.is_err() {
            return;
        }
    }
}

/// Gives out all jobs and sums what comes back.
async fn dispatch(count: u32, variant: Variant) -> u32 {
    let (jobs, inbox) = mpsc::channel(1);
    let (outbox, mut done) = mpsc::channel(1);
    let worker = tokio::spawn(worker(inbox, outbox));
    let mut sum = 0;
    if variant.has_bug() {
        for job in 0..count {
            jobs.send(job).await.unwrap();
        }
    } else {
        let mut job = 0;
        while job < count {
            tokio::select! {
                place = jobs.reserve() => { place.unwrap().send(job); job += 1; }
                Some(result) = done.recv() => sum += result,
            }
        }
    }
    drop(jobs);
    while let Some(result) = done.recv().await {
        sum += result;
    }
    worker.await.unwrap();
    sum
}

async fn scenario(variant: Variant) {
    assert_eq!(dispatch(2, variant).await, 1);
    assert_eq!(dispatch(10, variant).await, 45);
}
