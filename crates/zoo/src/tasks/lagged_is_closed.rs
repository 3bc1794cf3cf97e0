//! A subscriber that fell behind, and takes that for the end.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use tidegate_testkit::bubble;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::yield_now,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "lagged-is-closed",
    kind: Kind::Async,
    source: Source::GitHub("jito-labs/shredstream-proxy", 68),
    about: "`while let Ok` ends when the receiver has missed something, not when all is over",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

async fn last(mut entries: broadcast::Receiver<u32>, variant: Variant) -> Option<u32> {
    let mut last = None;
    loop {
        match entries.recv().await {
            Ok(entry) => last = Some(entry),
            Err(RecvError::Lagged(_)) if !variant.has_bug() => {}
            Err(_) => return last,
        }
    }
}

async fn scenario(variant: Variant) {
    let (entries, receiver) = broadcast::channel(4);
    let reader = tokio::spawn(last(receiver, variant));
    for entry in 0..20 {
        entries.send(entry).unwrap();
        if entry < 10 {
            yield_now().await; // Then they come faster than they are read.
        }
    }
    drop(entries);
    assert_eq!(reader.await.unwrap(), Some(19));
}
