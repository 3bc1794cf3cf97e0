//! A lock of the standard library that is held over an await.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::sync::Mutex;
use tidegate_testkit::bubble;
use tokio::{join, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "blocking-lock-over-await",
    kind: Kind::Async,
    source: Source::GitHub("rust-lang/rust-clippy", 5439),
    about: "a `std` lock blocks the only thread that could go on to release it",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

async fn fetch(id: u32) -> u32 {
    yield_now().await;
    id * 10
}

#[allow(clippy::await_holding_lock, reason = "it is what goes wrong")]
async fn load(table: &Mutex<Vec<u32>>, id: u32, variant: Variant) {
    if variant.has_bug() {
        let mut table = table.lock().unwrap();
        let row = fetch(id).await;
        table.push(row);
    } else {
        let row = fetch(id).await;
        table.lock().unwrap().push(row);
    }
}

async fn scenario(variant: Variant) {
    let table = Mutex::new(Vec::new());
    join!(load(&table, 1, variant), load(&table, 2, variant));
    table.lock().unwrap().sort_unstable();
    assert_eq!(*table.lock().unwrap(), [10, 20]);
}
