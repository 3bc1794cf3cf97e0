//! Several permits that come back at once, and one waiter that is woken.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::sync::{Arc, Mutex};
use tokio::{sync::Notify, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "one-wakeup",
    kind: Kind::Async,
    source: Source::GitHub("embassy-rs/embassy", 2766),
    about: "whoever is woken takes one permit of several, and does not wake the next",
    tests: everywhere!(scenario),
};

#[derive(Default)]
struct Permits {
    free: Mutex<usize>,
    returned: Notify,
}

impl Permits {
    async fn acquire(&self, variant: Variant) {
        loop {
            let left = {
                let mut free = self.free.lock().unwrap();
                let left = free.checked_sub(1);
                *free = left.unwrap_or(0);
                left
            };
            match left {
                Some(0) => return,
                Some(_) => {
                    if !variant.has_bug() {
                        self.returned.notify_one();
                    }
                    return;
                }
                None => self.returned.notified().await,
            }
        }
    }

    fn release(&self, count: usize) {
        *self.free.lock().unwrap() += count;
        self.returned.notify_one();
    }
}

async fn scenario(variant: Variant) {
    let permits = Arc::new(Permits::default());
    let waiters = [(); 2].map(|()| {
        let permits = Arc::clone(&permits);
        tokio::spawn(async move { permits.acquire(variant).await })
    });
    yield_now().await;
    permits.release(2);
    for waiter in waiters {
        waiter.await.unwrap();
    }
}
