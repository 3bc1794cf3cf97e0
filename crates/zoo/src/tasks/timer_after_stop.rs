//! A task that is to be started again after a delay, and was stopped in between.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_testkit::bubble;
use tokio::{task::AbortHandle, time::sleep};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "timer-after-stop",
    kind: Kind::Async,
    source: Source::Page("task-supervisor", "https://crates.io/crates/task-supervisor"),
    about: "a pending restart fires after the stop, and the task lives again",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

const BACKOFF: Duration = Duration::from_millis(200);

#[derive(Clone, Default)]
struct Supervisor {
    starts: Arc<Mutex<u32>>,
    restart: Arc<Mutex<Option<AbortHandle>>>,
}

impl Supervisor {
    /// Starts a task, which fails at once, and starts it again.
    fn start(&self) {
        *self.starts.lock().unwrap() += 1;
        let this = self.clone();
        let restart = tokio::spawn(async move {
            sleep(BACKOFF).await;
            this.start();
        });
        *self.restart.lock().unwrap() = Some(restart.abort_handle());
    }

    fn stop(&self, variant: Variant) {
        if !variant.has_bug() {
            self.restart.lock().unwrap().take().unwrap().abort();
        }
    }
}

async fn scenario(variant: Variant) {
    let supervisor = Supervisor::default();
    supervisor.start();
    sleep(BACKOFF + BACKOFF / 2).await;
    supervisor.stop(variant);
    sleep(BACKOFF * 2).await;
    assert_eq!(*supervisor.starts.lock().unwrap(), 2);
}
