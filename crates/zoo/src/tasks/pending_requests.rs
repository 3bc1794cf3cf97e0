//! A client of a multiplexed connection, which ends while answers are due.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tidegate_testkit::bubble;
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "pending-requests",
    kind: Kind::Async,
    source: Source::GitHub("apache/pulsar", 8232),
    about: "a connection that ends leaves those who wait for answers in its table",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

#[derive(Default)]
struct Client(Mutex<HashMap<u32, oneshot::Sender<u32>>>);

impl Client {
    async fn ask(&self, id: u32) -> Option<u32> {
        let (tx, answer) = oneshot::channel();
        self.0.lock().unwrap().insert(id, tx);
        answer.await.ok()
    }

    /// Deals out what comes over the connection until it ends.
    async fn read(&self, mut connection: mpsc::Receiver<(u32, u32)>, variant: Variant) {
        while let Some((id, answer)) = connection.recv().await {
            if let Some(waiter) = self.0.lock().unwrap().remove(&id) {
                let _ = waiter.send(answer);
            }
        }
        if !variant.has_bug() {
            self.0.lock().unwrap().clear();
        }
    }
}

async fn scenario(variant: Variant) {
    let client = Arc::new(Client::default());
    let (server, connection) = mpsc::channel(8);
    let reader = Arc::clone(&client);
    let reader = tokio::spawn(async move { reader.read(connection, variant).await });
    let asks = [1, 2].map(|id| {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.ask(id).await })
    });
    yield_now().await;
    server.send((1, 10)).await.unwrap();
    drop(server);
    let [first, second] = asks;
    assert_eq!(first.await.unwrap(), Some(10));
    assert_eq!(second.await.unwrap(), None);
    reader.await.unwrap();
}
