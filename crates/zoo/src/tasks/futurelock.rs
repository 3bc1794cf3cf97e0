//! A future that waits for a lock, is kept but no longer polled, and is given the lock.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{pin::pin, sync::Arc, time::Duration};
use tidegate_testkit::bubble;
use tokio::{select, sync::Mutex, time::sleep};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "futurelock",
    kind: Kind::Async,
    source: Source::Page("Oxide RFD 609", "https://rfd.shared.oxide.computer/rfd/0609"),
    about: "`select!` by reference keeps a future in the queue of a lock that the branch wants",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

async fn count(counter: &Mutex<u32>) {
    *counter.lock().await += 1;
}

async fn scenario(variant: Variant) {
    let ms = Duration::from_millis;
    let counter = Arc::new(Mutex::new(0));
    let held = Arc::clone(&counter).lock_owned().await;
    let other = tokio::spawn(async move {
        sleep(ms(300)).await;
        drop(held);
    });
    let mut first = pin!(count(&counter));
    let is_late = if variant.has_bug() {
        select! {
            () = &mut first => false,
            () = sleep(ms(10)) => { count(&counter).await; true }
        }
    } else {
        select! {
            () = count(&counter) => false,
            () = sleep(ms(10)) => { count(&counter).await; true }
        }
    };
    assert!(is_late);
    other.await.unwrap();
    assert_eq!(*counter.lock().await, 1);
}
