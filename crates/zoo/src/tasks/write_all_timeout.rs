//! A frame that is written under a timeout, and a connection that is used again after it.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{io, time::Duration};
use tidegate_testkit::bubble;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "write-all-timeout",
    kind: Kind::Async,
    source: Source::GitHub("sysprog21/frama-c-mcp", 10),
    about: "a frame whose write timed out half way is followed by the next one",
    tests: &[
        (Tool::Ours, |variant| bubble(scenario(variant))),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

struct Transport {
    stream: DuplexStream,
    is_broken: bool,
}

impl Transport {
    async fn send(&mut self, payload: &[u8], variant: Variant) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut frame = vec![u8::try_from(payload.len()).unwrap()];
        frame.extend(payload);
        let sent = timeout(Duration::from_millis(20), self.stream.write_all(&frame)).await;
        sent.unwrap_or_else(|_| {
            self.is_broken = !variant.has_bug();
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

/// Whatever is refused: what arrives is what was sent.
async fn scenario(variant: Variant) {
    let (client, mut server) = duplex(8);
    let mut transport = Transport { stream: client, is_broken: false };
    transport.send(b"one", variant).await.unwrap();
    let late = transport.send(b"twotwo", variant).await;
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let mut received = vec![0; 8];
    server.read_exact(&mut received).await.unwrap();
    let _ = transport.send(b"three", variant).await;
    drop(transport);
    server.read_to_end(&mut received).await.unwrap();
    let whole = b"\x03one\x06twotwo\x05three";
    assert!(whole.starts_with(&received), "{received:?}");
}
