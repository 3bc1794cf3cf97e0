//! A connection that starts a task before it is made, and is given up.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{future::pending, time::Duration};
use tidegate_testkit::cancel_everywhere;
use tokio::{task::JoinHandle, time::sleep};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "orphaned-reader",
    kind: Kind::Async,
    source: Source::GitHub("meshtastic/rust", 100),
    about: "a connect that is cancelled leaves its reader behind: a dropped handle detaches",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

struct Reader(JoinHandle<()>, Variant);

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.1.has_bug() {
            self.0.abort();
        }
    }
}

impl Reader {
    async fn stop(mut self) {
        self.0.abort();
        assert!((&mut self.0).await.unwrap_err().is_cancelled());
    }
}

async fn connect(variant: Variant) -> Reader {
    let reader = Reader(tokio::spawn(pending()), variant);
    sleep(Duration::from_millis(200)).await; // Both sides say who they are.
    reader
}

fn ours(variant: Variant) {
    let op = async |(): &()| connect(variant).await.stop().await;
    cancel_everywhere(|| (), op, async |(), _| {}).assert_covered(1);
}

async fn scenario(variant: Variant) {
    let reader = connect(variant).await;
    assert!(!reader.0.is_finished());
    reader.stop().await;
    let slow = tokio::time::timeout(Duration::from_millis(10), connect(variant)).await;
    assert!(slow.is_err());
}
