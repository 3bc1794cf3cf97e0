//! A descriptor that is owned by nobody until all went well.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    fs::File,
    io::{self, Read as _},
    mem::ManuallyDrop,
};
use tidegate_testkit::{Bubble, LeakGuard};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "error-path-fd",
    kind: Kind::Async,
    source: Source::GitHub("bytecodealliance/userfaultfd-rs", 26),
    about: "an error after the descriptor was opened returns without closing it",
    tests: &[
        (Tool::Ours, |variant| {
            Bubble::builder()
                .watch(LeakGuard::fds)
                .build()
                .unwrap()
                .run(scenario(variant))
                .unwrap();
        }),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

/// Opens a device and asks it for its magic number.
fn open(path: &str, variant: Variant) -> io::Result<File> {
    let mut magic = [0; 1];
    let mut device = File::open(path)?;
    if variant.has_bug() {
        let mut raw = ManuallyDrop::new(device);
        raw.read_exact(&mut magic)?;
        return Ok(ManuallyDrop::into_inner(raw));
    }
    device.read_exact(&mut magic)?;
    Ok(device)
}

async fn scenario(variant: Variant) {
    drop(open("/dev/zero", variant).unwrap());
    let empty = open("/dev/null", variant).unwrap_err();
    assert_eq!(empty.kind(), io::ErrorKind::UnexpectedEof);
    assert!(open("/dev/there/is/none", variant).is_err());
    tokio::task::yield_now().await;
}
