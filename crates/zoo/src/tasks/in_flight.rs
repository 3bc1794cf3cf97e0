//! A count of requests in flight, by two lines around an await.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use tidegate_testkit::cancel_everywhere;
use tokio::time::{sleep, timeout};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "in-flight",
    kind: Kind::Async,
    source: Source::GitHub("bobmatnyc/trusty-tools", 5026),
    about: "a request whose client goes away is counted as in flight for ever",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

#[derive(Default)]
struct Service {
    in_flight: AtomicUsize,
}

struct Flight<'a>(&'a AtomicUsize);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Service {
    async fn handle(&self, variant: Variant) -> u32 {
        self.in_flight.fetch_add(1, SeqCst);
        if variant.has_bug() {
            sleep(Duration::from_millis(200)).await;
            self.in_flight.fetch_sub(1, SeqCst);
        } else {
            let _flight = Flight(&self.in_flight);
            sleep(Duration::from_millis(200)).await;
        }
        200
    }
}

fn ours(variant: Variant) {
    cancel_everywhere(
        Service::default,
        async |service| service.handle(variant).await,
        async |service, point| assert_eq!(service.in_flight.load(SeqCst), 0, "{point}"),
    )
    .assert_covered(1);
}

async fn scenario(variant: Variant) {
    let service = Service::default();
    let (a, b) = tokio::join!(service.handle(variant), async {
        assert_eq!(service.in_flight.load(SeqCst), 1);
        service.handle(variant).await
    });
    assert_eq!((a, b), (200, 200));
    assert!(timeout(Duration::from_millis(10), service.handle(variant)).await.is_err());
    assert_eq!(service.in_flight.load(SeqCst), 0);
}
