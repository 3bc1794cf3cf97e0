//! A concurrency that is computed, and comes to nothing.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use futures::{StreamExt as _, stream};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "buffer-of-none",
    kind: Kind::Async,
    source: Source::GitHub("rust-lang/futures-rs", 2348),
    about: "`buffer_unordered(0)` never takes an item, and never ends",
    tests: everywhere!(scenario),
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
