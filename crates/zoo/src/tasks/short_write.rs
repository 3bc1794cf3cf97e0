//! A write that takes a part, and is taken for whole.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::io;
use tidegate_testkit::{FaultIo, FaultPlan, Seed, bubble};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "short-write",
    kind: Kind::Async,
    source: Source::GitHub("kpcyrd/rebuilderd", 40),
    about: "`write` in place of `write_all`: what did not fit is lost",
    tests: &[
        (Tool::Ours, |variant| {
            let plan = FaultPlan::seeded(Seed::new(1)).short_writes(0.5).build().unwrap();
            bubble(scenario(|stream| FaultIo::new(stream, plan), variant));
        }),
        (Tool::TokioTest, |variant| tokio_test(scenario(|stream| stream, variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(|stream| stream, variant))),
    ],
};

async fn download(
    chunks: &[&[u8]],
    mut file: impl AsyncWrite + Unpin,
    variant: Variant,
) -> io::Result<()> {
    for chunk in chunks {
        if variant.has_bug() {
            let _written = file.write(chunk).await?;
        } else {
            file.write_all(chunk).await?;
        }
    }
    file.shutdown().await
}

async fn scenario<W: AsyncWrite + Unpin>(
    wrap: impl FnOnce(tokio::io::DuplexStream) -> W,
    variant: Variant,
) {
    let (file, mut disk) = duplex(1024);
    let chunks: &[&[u8]] = &[b"what ", b"is written ", b"is what ", b"is read"];
    download(chunks, wrap(file), variant).await.unwrap();
    let mut read = Vec::new();
    disk.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, chunks.concat());
}
