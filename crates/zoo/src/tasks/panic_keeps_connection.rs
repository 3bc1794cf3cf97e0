//! A pool, and a query that panics.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{sync::Arc, thread};
use tidegate_testkit::Bubble;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "panic-keeps-connection",
    kind: Kind::Async,
    source: Source::GitHub("blackbeam/mysql_async", 171),
    about: "a connection that is dropped by a panic does not go back, until there is none left",
    tests: &[
        (Tool::Ours, |variant| {
            Bubble::builder().allow_panics().build().unwrap().run(scenario(variant)).unwrap();
        }),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

struct Connection(Option<OwnedSemaphorePermit>, Variant);

impl Connection {
    async fn open(pool: Arc<Semaphore>, variant: Variant) -> Self {
        Self(pool.acquire_owned().await.ok(), variant)
    }

    fn query(&self, sql: &str) -> usize {
        assert!(self.0.is_some() && !sql.is_empty(), "there is nothing to ask");
        sql.len()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let place = self.0.take().unwrap();
        if thread::panicking() && self.1.has_bug() {
            // Its state is unknown; it is not to be used again.
            place.forget();
        }
    }
}

/// Requests fail, and others go on.
async fn scenario(variant: Variant) {
    let pool = Arc::new(Semaphore::new(2));
    for sql in ["a", "", "b", "", "c"] {
        let pool = Arc::clone(&pool);
        let request = tokio::spawn(async move { Connection::open(pool, variant).await.query(sql) });
        assert_eq!(request.await.is_ok(), !sql.is_empty());
    }
}
