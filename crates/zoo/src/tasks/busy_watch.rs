//! A loop over a clone of a receiver, which has always something new.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::time::Duration;
use tidegate_testkit::bubble;
use tokio::{sync::watch, time::sleep};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "busy-watch",
    kind: Kind::Async,
    source: Source::GitHub("tokio-rs/tokio", 3493),
    about: "a clone has not seen the value that its original has not: the loop never waits",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

/// Waits for a permit; the value is how many there are.
async fn acquire(mut permits: watch::Receiver<u32>, variant: Variant) -> u32 {
    loop {
        if variant.has_bug() {
            permits.clone().changed().await.unwrap();
        } else {
            permits.changed().await.unwrap();
        }
        let count = *permits.borrow();
        if count > 0 {
            return count;
        }
    }
}

async fn scenario(variant: Variant) {
    let (permits, receiver) = watch::channel(1);
    let waiter = tokio::spawn(acquire(receiver, variant));
    permits.send_replace(0);
    sleep(Duration::from_millis(20)).await;
    permits.send_replace(3);
    assert_eq!(waiter.await.unwrap(), 3);
}
