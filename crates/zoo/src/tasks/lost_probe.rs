//! A circuit breaker that lets one call through to see, and the call never comes back.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{cell::Cell, future::pending, time::Duration};
use tidegate_testkit::cancel_everywhere;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "lost-probe",
    kind: Kind::Async,
    source: Source::GitHub("BerriAI/litellm", 39701),
    about: "a probe that is cancelled tells the breaker nothing, which stays half open",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    /// Long enough; the next call is the probe.
    Open,
    /// The probe is under way.
    HalfOpen,
}

struct Breaker(Cell<State>, Variant);

/// Gives the place of the probe back if it goes without a result.
struct Probe<'a>(&'a Breaker);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if self.0.0.get() == State::HalfOpen && !self.0.1.has_bug() {
            self.0.0.set(State::Open);
        }
    }
}

impl Breaker {
    /// `None`, if the call is not let through.
    async fn call<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let _probe = match self.0.get() {
            State::HalfOpen => return None,
            State::Closed => None,
            State::Open => {
                self.0.set(State::HalfOpen);
                Some(Probe(self))
            }
        };
        let answer = call.await;
        self.0.set(State::Closed);
        Some(answer)
    }
}

fn ours(variant: Variant) {
    cancel_everywhere(
        || Breaker(Cell::new(State::Open), variant),
        async |breaker| breaker.call(sleep(Duration::from_secs(1))).await,
        async |breaker, point| {
            assert!(breaker.call(async {}).await.is_some(), "refused: {point}");
        },
    )
    .assert_covered(1);
}

async fn scenario(variant: Variant) {
    let breaker = Breaker(Cell::new(State::Open), variant);
    let asked = Notify::new();
    let client = async {
        asked.notify_one();
        pending::<()>().await;
    };
    let gave_up = timeout(Duration::from_millis(20), breaker.call(client)).await;
    assert!(gave_up.is_err());
    assert!(breaker.call(async {}).await.is_some(), "refused for ever");
    assert_eq!(breaker.0.get(), State::Closed);
}
