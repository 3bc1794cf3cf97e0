//! A concurrency that is computed, and comes to nothing.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use futures::{StreamExt as _, stream};
use tidegate_testkit::bubble;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "buffer-of-none",
    kind: Kind::Async,
    source: Source::GitHub("rust-lang/futures-rs", 2348),
    about: "`buffer_unordered(0)` never takes an item, and never ends",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

async fn all(items: u32, budget: usize, cost: usize, variant: Variant) -> Vec<u32> {
    let at_once = budget / cost;
    let at_once = if variant.has_bug() { at_once } else { at_once.max(1) };
    stream::iter(0..items).map(async |item| item).buffer_unordered(at_once).collect().await
}

async fn scenario(variant: Variant) {
    assert_eq!(all(3, 100, 40, variant).await.len(), 3);
    assert_eq!(all(3, 100, 400, variant).await.len(), 3, "each is larger than the budget");
}
