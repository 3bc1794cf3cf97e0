//! A shutdown that waits until all handles are gone, its own among them.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "shutdown-of-itself",
    kind: Kind::Async,
    source: Source::GitHub("programatik29/axum-server", 114),
    about: "the server waits for the end of all who have a handle, and has one itself",
    tests: everywhere!(scenario),
};

struct Server {
    stop: watch::Sender<bool>,
    alive: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Server {
    fn new() -> Self {
        let (alive, ended) = mpsc::channel(1);
        Self { stop: watch::channel(false).0, alive, ended }
    }

    fn serve(&self) -> JoinHandle<()> {
        let (alive, mut stop) = (self.alive.clone(), self.stop.subscribe());
        tokio::spawn(async move {
            let _alive = alive;
            stop.wait_for(|stops| *stops).await.unwrap();
        })
    }

    /// Ends when all connections have ended.
    async fn shut_down(mut self, variant: Variant) {
        self.stop.send_replace(true);
        if !variant.has_bug() {
            drop(self.alive);
        }
        assert!(self.ended.recv().await.is_none());
    }
}

async fn scenario(variant: Variant) {
    let server = Server::new();
    let connections = [server.serve(), server.serve()];
    server.shut_down(variant).await;
    for connection in connections {
        connection.await.unwrap();
    }
}
