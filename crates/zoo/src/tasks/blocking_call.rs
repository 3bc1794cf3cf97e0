//! A call that blocks its thread, and a task beside it that has to be on time.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{thread, time::Duration};
use tidegate_testkit::bubble;
use tokio::{
    task::{spawn_blocking, yield_now},
    time::{Instant, sleep},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "blocking-call",
    kind: Kind::Async,
    source: Source::GitHub("gabrielkoerich/orch", 1821),
    about: "a blocking call in a task holds up all others of its thread",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

const BEAT: Duration = Duration::from_millis(20);
/// Whoever has not been heard of for so long is taken for dead.
const DEAD: Duration = Duration::from_millis(700);

/// The longest time between two of some beats.
async fn beat(count: u32) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let last = Instant::now();
        sleep(BEAT).await;
        longest = longest.max(last.elapsed());
    }
    longest
}

/// As long as a slow disk takes.
fn write_config() {
    thread::sleep(DEAD * 2);
}

async fn save(variant: Variant) {
    yield_now().await;
    if variant.has_bug() {
        write_config();
    } else {
        spawn_blocking(write_config).await.unwrap();
    }
}

async fn scenario(variant: Variant) {
    let (longest, ()) = tokio::join!(beat(5), save(variant));
    assert!(longest < DEAD, "silent for {longest:?}");
}
