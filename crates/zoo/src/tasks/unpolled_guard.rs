//! A guard that is made within a future, and a count that is raised before it.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{cell::Cell, time::Duration};
use tidegate_testkit::cancel_everywhere;
use tokio::time::{sleep, timeout};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "unpolled-guard",
    kind: Kind::Async,
    source: Source::GitHub("ai-dynamo/dynamo", 7807),
    about: "a future that is dropped before its first poll never makes the guard that cleans up",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

#[derive(Default)]
struct Router {
    reserved: Cell<u32>,
}

struct Reservation<'a>(&'a Cell<u32>);

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Router {
    /// Waits for a moment in which there is little to do, then answers.
    async fn route(&self, variant: Variant) -> u32 {
        let answer = self.answer(variant);
        sleep(Duration::from_millis(200)).await;
        answer.await
    }

    fn answer(&self, variant: Variant) -> impl Future<Output = u32> {
        self.reserved.set(self.reserved.get() + 1);
        let outside = (!variant.has_bug()).then(|| Reservation(&self.reserved));
        async move {
            let _reservation = outside.unwrap_or_else(|| Reservation(&self.reserved));
            sleep(Duration::from_millis(200)).await;
            7
        }
    }
}

fn ours(variant: Variant) {
    cancel_everywhere(
        Router::default,
        async |router| router.route(variant).await,
        async |router, point| assert_eq!(router.reserved.get(), 0, "{point}"),
    )
    .assert_covered(2);
}

async fn scenario(variant: Variant) {
    let router = Router::default();
    assert_eq!(router.route(variant).await, 7);
    assert!(timeout(Duration::from_millis(10), router.route(variant)).await.is_err());
    assert_eq!(router.reserved.get(), 0);
}
