//! A deadline within attempts that have a time limit of their own.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{future::pending, io, time::Duration};
use tidegate_testkit::bubble;
use tokio::time::{Instant, sleep, timeout, timeout_at};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "swallowed-deadline",
    kind: Kind::Async,
    source: Source::GitHub("nebius/gosdk", 70),
    about: "a deadline looks like the timeout of one attempt, and is followed by another attempt",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

const ATTEMPT: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_millis(100);

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Asks a server that does not answer.
async fn ask(deadline: Instant) -> io::Result<u32> {
    timeout_at(deadline, pending()).await.map_err(|_| late())
}

async fn fetch(variant: Variant) -> io::Result<u32> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = timeout(ATTEMPT, ask(deadline)).await.unwrap_or_else(|_| Err(late()));
        let is_over = !variant.has_bug() && Instant::now() >= deadline;
        match answer {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !is_over => {
                sleep(ATTEMPT / 4).await;
            }
            answer => return answer,
        }
    }
}

async fn scenario(variant: Variant) {
    assert_eq!(fetch(variant).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
