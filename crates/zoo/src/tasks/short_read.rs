//! A read that is taken for a message.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::io;
use tidegate_testkit::{FaultIo, FaultPlan, Seed, bubble};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "short-read",
    kind: Kind::Async,
    source: Source::GitHub("neondatabase/neon", 66),
    about: "a message that comes in two parts is parsed as if it were whole",
    tests: &[
        (Tool::Ours, |variant| {
            let plan = FaultPlan::seeded(Seed::new(1)).short_reads(0.5).build().unwrap();
            bubble(scenario(|stream| FaultIo::new(stream, plan), variant));
        }),
        (Tool::TokioTest, |variant| tokio_test(scenario(|stream| stream, variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(|stream| stream, variant))),
    ],
};

/// A message of eight bytes.
async fn next(stream: &mut (impl AsyncRead + Unpin), variant: Variant) -> io::Result<u64> {
    let mut message = [0; 8];
    if variant.has_bug() {
        if stream.read(&mut message).await? < 8 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    } else {
        stream.read_exact(&mut message).await?;
    }
    Ok(u64::from_be_bytes(message))
}

async fn scenario<R: AsyncRead + Unpin>(wrap: impl FnOnce(DuplexStream) -> R, variant: Variant) {
    let (mut client, server) = duplex(64);
    let mut server = wrap(server);
    for number in 0..5 {
        client.write_u64(number).await.unwrap();
        assert_eq!(next(&mut server, variant).await.unwrap(), number);
    }
}
