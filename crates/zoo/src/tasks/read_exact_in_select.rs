//! A frame that is read by `read_exact`, in a loop that also does other things.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{io, time::Duration};
use tidegate_testkit::cancel_everywhere;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::Mutex,
    task::yield_now,
    time::timeout,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "read-exact-in-select",
    kind: Kind::Async,
    source: Source::GitHub("n0-computer/iroh", 2572),
    about: "a read that is dropped within a frame takes what it has read with it",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

struct Frames {
    stream: DuplexStream,
    /// What has been read of the next frame.
    part: Vec<u8>,
}

impl Frames {
    fn new(stream: DuplexStream) -> Self {
        Self { stream, part: Vec::new() }
    }

    /// The next frame: a byte says how long it is.
    async fn next(&mut self, variant: Variant) -> io::Result<Vec<u8>> {
        if variant.has_bug() {
            let mut frame = vec![0; self.stream.read_u8().await?.into()];
            self.stream.read_exact(&mut frame).await?;
            return Ok(frame);
        }
        loop {
            let missing = match self.part.first() {
                None => 1,
                Some(len) => usize::from(*len) + 1 - self.part.len(),
            };
            if missing == 0 {
                return Ok(self.part.drain(..).skip(1).collect());
            }
            let mut part = vec![0; missing];
            match self.stream.read(&mut part).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.part.extend(&part[..read]),
            }
        }
    }
}

/// A server to which a frame comes in two parts.
fn receiving() -> Mutex<Frames> {
    let (mut client, server) = duplex(64);
    tokio::spawn(async move {
        client.write_all(b"\x03a").await.unwrap();
        yield_now().await;
        client.write_all(b"bc").await.unwrap();
    });
    Mutex::new(Frames::new(server))
}

fn ours(variant: Variant) {
    cancel_everywhere(
        receiving,
        async |frames| frames.lock().await.next(variant).await.unwrap(),
        async |frames, point| {
            let frame = frames.lock().await.next(variant).await;
            assert_eq!(frame.ok().as_deref(), Some(&b"abc"[..]), "{point}");
        },
    )
    .assert_covered(3);
}

/// Ticks between the frames, and within one of them.
async fn scenario(variant: Variant) {
    let (mut client, server) = duplex(64);
    let mut frames = Frames::new(server);
    let tick = Duration::from_millis(20);
    assert!(timeout(tick, frames.next(variant)).await.is_err(), "nothing is there");
    client.write_all(b"\x03a").await.unwrap();
    assert!(timeout(tick, frames.next(variant)).await.is_err(), "a part is there");
    client.write_all(b"bc\x01z").await.unwrap();
    assert_eq!(frames.next(variant).await.unwrap(), b"abc");
    assert_eq!(frames.next(variant).await.unwrap(), b"z");
}
