//! A retry that waits longer each time, and never gives up.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{io, time::Duration};
use tidegate_testkit::{bubble, mem_net};
use tokio::{net::TcpStream, time::sleep};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "retry-for-ever",
    kind: Kind::Async,
    source: Source::GitHub("ihrwein/backoff", 60),
    about: "a backoff without a bound on attempts hides that nobody is there",
    tests: &[
        (Tool::Ours, |variant| {
            bubble(async {
                let (listener, connector) = mem_net();
                drop(listener);
                refused(async || connector.connect().await.map(drop), variant).await;
            });
        }),
        (Tool::TokioTest, |variant| {
            tokio_test(refused(async || TcpStream::connect(NOBODY).await.map(drop), variant));
        }),
        (Tool::TokioPaused, |variant| {
            tokio_paused(refused(async || TcpStream::connect(NOBODY).await.map(drop), variant));
        }),
    ],
};

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 5;

async fn connect(attempt: impl AsyncFn() -> io::Result<()>, variant: Variant) -> io::Result<()> {
    let (mut wait, mut attempts) = (FIRST, 1);
    loop {
        match attempt().await {
            Err(_) if variant.has_bug() || attempts < ATTEMPTS => {
                sleep(wait).await;
                wait = LONGEST.min(wait * 2);
                attempts += 1;
            }
            result => return result,
        }
    }
}

async fn refused(attempt: impl AsyncFn() -> io::Result<()>, variant: Variant) {
    let error = connect(attempt, variant).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}
