//! Blocking work that does not hear that all is over.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};
use tidegate_testkit::bubble;
use tokio::task::JoinHandle;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "blocking-at-the-end",
    kind: Kind::Async,
    source: Source::GitHub("Finomnis/tokio-graceful-shutdown", 50),
    about: "a shutdown reports success, and the runtime waits for `spawn_blocking` for ever",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

struct Console {
    stops: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl Console {
    fn open() -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stops);
        let reader = tokio::task::spawn_blocking(move || {
            while !stop.load(SeqCst) {
                thread::sleep(Duration::from_millis(1)); // Nobody has typed anything.
            }
        });
        Self { stops, reader }
    }

    async fn close(self, variant: Variant) {
        if variant.has_bug() {
            self.reader.abort();
        } else {
            self.stops.store(true, SeqCst);
            self.reader.await.unwrap();
        }
    }
}

async fn scenario(variant: Variant) {
    let console = Console::open();
    // It runs by now.
    tokio::task::spawn_blocking(|| thread::sleep(Duration::from_millis(20))).await.unwrap();
    console.close(variant).await;
}
