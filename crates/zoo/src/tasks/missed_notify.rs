//! A check, and a registration that comes too late for what happens in between.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::sync::Arc;
use tokio::{
    sync::{Mutex, Notify},
    task::yield_now,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "missed-notify",
    kind: Kind::Async,
    source: Source::GitHub("djc/bb8", 122),
    about: "a connection comes back after the look into the pool and before the wait for one",
    tests: everywhere!(scenario),
};

#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<u32>>,
    returned: Notify,
}

impl Pool {
    async fn get(&self, variant: Variant) -> u32 {
        loop {
            let returned = self.returned.notified();
            if let Some(connection) = self.idle.lock().await.pop() {
                return connection;
            }
            yield_now().await; // Sees whether another one may be opened.
            if variant.has_bug() {
                self.returned.notified().await;
            } else {
                returned.await;
            }
        }
    }

    async fn put(&self, connection: u32) {
        self.idle.lock().await.push(connection);
        self.returned.notify_waiters();
    }
}

async fn scenario(variant: Variant) {
    let pool = Arc::new(Pool::default());
    let other = Arc::clone(&pool);
    let user = tokio::spawn(async move { other.put(7).await });
    assert_eq!(pool.get(variant).await, 7);
    user.await.unwrap();
}
