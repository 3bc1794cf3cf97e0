//! A loop that looks at its work first, and at the signal to stop only if there is none.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use tidegate_testkit::bubble;
use tokio::{
    join, select,
    sync::{Notify, mpsc},
    task::yield_now,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "biased-stop",
    kind: Kind::Async,
    source: Source::GitHub("paxsonsa/murmer-rs", 6),
    about: "a `biased` branch that is always ready starves the others, the stop among them",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

/// Forwards until it is told to stop.
async fn serve(mut events: mpsc::Receiver<u32>, stop: &Notify, variant: Variant) -> u32 {
    let mut count = 0;
    loop {
        let event = if variant.has_bug() {
            select! {
                biased;
                event = events.recv() => event,
                () = stop.notified() => None,
            }
        } else {
            select! {
                biased;
                () = stop.notified() => None,
                event = events.recv() => event,
            }
        };
        if event.is_none() {
            return count;
        }
        count += 1;
        yield_now().await; // Works on it.
    }
}

/// There is always another event.
async fn busy(events: mpsc::Sender<u32>, is_over: &AtomicBool) {
    while !is_over.load(SeqCst) && events.send(7).await.is_ok() {}
}

async fn scenario(variant: Variant) {
    let (sender, events) = mpsc::channel(4);
    let (stop, is_over) = (Notify::new(), AtomicBool::new(false));
    let server = async {
        let count = serve(events, &stop, variant).await;
        is_over.store(true, SeqCst);
        count
    };
    let operator = async {
        for _ in 0..10 {
            yield_now().await;
        }
        stop.notify_one();
    };
    let (count, (), ()) = join!(server, busy(sender, &is_over), operator);
    assert!(count > 0);
}
