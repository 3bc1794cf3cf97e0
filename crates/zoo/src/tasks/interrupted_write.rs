//! A write that a signal interrupts, which is no failure.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::io::{self, ErrorKind};
use tidegate_testkit::{FaultIo, FaultPlan, Seed, bubble};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "interrupted-write",
    kind: Kind::Async,
    source: Source::GitHub("tokio-rs/tokio", 8453),
    about: "an interrupted write is handed on as an error, though nothing is wrong",
    tests: &[
        (Tool::Ours, |variant| {
            let plan = FaultPlan::seeded(Seed::new(1)).interrupted(0.5).build().unwrap();
            bubble(scenario(|stream| FaultIo::new(stream, plan), variant));
        }),
        (Tool::TokioTest, |variant| tokio_test(scenario(|stream| stream, variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(|stream| stream, variant))),
    ],
};

async fn write_whole(
    mut bytes: &[u8],
    file: &mut (impl AsyncWrite + Unpin),
    variant: Variant,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes).await {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted && !variant.has_bug() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn scenario<W: AsyncWrite + Unpin>(wrap: impl FnOnce(DuplexStream) -> W, variant: Variant) {
    let (client, mut server) = duplex(64);
    let mut client = wrap(client);
    for word in ["one", "two", "three"] {
        write_whole(word.as_bytes(), &mut client, variant).await.unwrap();
    }
    drop(client);
    let mut read = String::new();
    server.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "onetwothree");
}
