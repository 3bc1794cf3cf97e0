//! A period that is kept up after a pause.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::time::Duration;
use tidegate_testkit::bubble;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "interval-burst",
    kind: Kind::Async,
    source: Source::GitHub("nats-io/nats.rs", 875),
    about: "after a stall an interval makes up for what it missed, all at once",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

const PERIOD: Duration = Duration::from_millis(40);

/// The times of so many pings. The second one is answered late.
async fn pings(count: usize, variant: Variant) -> Vec<Instant> {
    let mut ticks = interval(PERIOD);
    if !variant.has_bug() {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut sent = Vec::new();
    while sent.len() < count {
        ticks.tick().await;
        sent.push(Instant::now());
        if sent.len() == 2 {
            sleep(PERIOD * 5).await;
        }
    }
    sent
}

async fn scenario(variant: Variant) {
    let sent = pings(6, variant).await;
    for pair in sent.windows(2) {
        assert!(pair[1] - pair[0] > PERIOD / 2, "{:?} after the other", pair[1] - pair[0]);
    }
}
