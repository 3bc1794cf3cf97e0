//! Two limits that are asked one after the other.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::time::Duration;
use tidegate_testkit::cancel_everywhere;
use tokio::{sync::Semaphore, time::timeout};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "two-limits",
    kind: Kind::Async,
    source: Source::GitHub("world-federation-of-advertisers/cross-media-measurement", 4444),
    about: "who is dropped between two limits has used up the first one for nothing",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

/// Tokens for requests and for bytes; a clock that is not part of this fills them up.
struct Limiter {
    requests: Semaphore,
    bytes: Semaphore,
}

impl Limiter {
    fn full() -> Self {
        Self { requests: Semaphore::new(2), bytes: Semaphore::new(100) }
    }

    async fn admit(&self, bytes: u32, variant: Variant) {
        let request = self.requests.acquire().await.unwrap();
        if variant.has_bug() {
            request.forget();
            self.bytes.acquire_many(bytes).await.unwrap().forget();
        } else {
            self.bytes.acquire_many(bytes).await.unwrap().forget();
            request.forget();
        }
    }
}

fn ours(variant: Variant) {
    cancel_everywhere(
        Limiter::full,
        async |limiter| limiter.admit(60, variant).await,
        async |limiter, point| {
            let left = (limiter.requests.available_permits(), limiter.bytes.available_permits());
            assert_eq!(left, (2, 100), "{point}");
        },
    )
    .assert_covered(2);
}

/// One that is refused for now leaves no trace.
async fn scenario(variant: Variant) {
    let limiter = Limiter::full();
    limiter.admit(60, variant).await;
    let early = timeout(Duration::from_millis(10), limiter.admit(60, variant)).await;
    assert!(early.is_err());
    limiter.bytes.add_permits(60);
    let later = timeout(Duration::from_secs(1), limiter.admit(60, variant)).await;
    later.expect("there are a request and its bytes");
}
