//! A stage between two channels, whose step is a branch of a `select!`.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::time::Duration;
use tidegate_testkit::cancel_everywhere;
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "lost-in-transit",
    kind: Kind::Async,
    source: Source::GitHub("tokio-rs/tokio", 5947),
    about: "a future that is dropped between `recv` and `send` takes the message with it",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

/// Long enough for whatever does not wait.
const SOON: Duration = Duration::from_millis(50);

struct Stage {
    inbox: Mutex<mpsc::Receiver<u32>>,
    outbox: mpsc::Sender<u32>,
}

impl Stage {
    /// A stage with a message that waits for it, and the end to which it goes.
    fn loaded() -> (Self, Mutex<mpsc::Receiver<u32>>) {
        let (fill, inbox) = mpsc::channel(1);
        let (outbox, arrived) = mpsc::channel(1);
        fill.try_send(7).unwrap();
        (Self { inbox: Mutex::new(inbox), outbox }, Mutex::new(arrived))
    }

    async fn step(&self, variant: Variant) {
        if variant.has_bug() {
            let message = self.inbox.lock().await.recv().await.unwrap();
            self.outbox.send(message).await.unwrap();
        } else {
            let place = self.outbox.reserve().await.unwrap();
            place.send(self.inbox.lock().await.recv().await.unwrap());
        }
    }
}

fn ours(variant: Variant) {
    cancel_everywhere(
        Stage::loaded,
        async |(stage, _)| stage.step(variant).await,
        async |(stage, arrived), point| {
            let waits = stage.inbox.lock().await.try_recv().is_ok();
            let has_arrived = arrived.lock().await.try_recv().is_ok();
            assert!(waits || has_arrived, "lost {point}");
        },
    )
    .assert_covered(3);
}

/// A step is dropped while there is nothing for it, and one while there is no room for it.
async fn scenario(variant: Variant) {
    let (fill, inbox) = mpsc::channel(2);
    let (outbox, mut arrived) = mpsc::channel(1);
    let stage = Stage { inbox: Mutex::new(inbox), outbox };
    assert!(timeout(SOON, stage.step(variant)).await.is_err());
    for message in [7, 8] {
        fill.send(message).await.unwrap();
    }
    stage.step(variant).await;
    assert!(timeout(SOON, stage.step(variant)).await.is_err());
    assert_eq!(arrived.recv().await, Some(7));
    timeout(SOON, stage.step(variant)).await.expect("the other message is gone");
    assert_eq!(arrived.recv().await, Some(8));
}
