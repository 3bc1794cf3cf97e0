//! A request for more than there is.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::sync::Semaphore;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "beyond-capacity",
    kind: Kind::Async,
    source: Source::GitHub("LMCache/LMCache", 2957),
    about: "who asks for more permits than there are waits for ever, and so do all behind",
    tests: everywhere!(scenario),
};

const BUDGET: u32 = 100;

/// Loads a file within a budget of memory.
async fn load(memory: &Semaphore, size: u32, variant: Variant) -> u32 {
    let wanted = if variant.has_bug() { size } else { size.min(BUDGET) };
    let _memory = memory.acquire_many(wanted).await.unwrap();
    size
}

async fn scenario(variant: Variant) {
    let memory = Semaphore::new(100);
    let mut sum = 0;
    for size in [10, 100, 101] {
        sum += load(&memory, size, variant).await;
    }
    assert_eq!(sum, 211);
}
