//! A function that promises to stop at the first error, and does so for a few futures only.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use futures::{TryStreamExt as _, future::try_join_all, stream::FuturesUnordered};
use std::future::pending;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "try-join-all",
    kind: Kind::Async,
    source: Source::GitHub("rust-lang/futures-rs", 2866),
    about: "with more than 30 futures `try_join_all` hears of an error only after those before it",
    tests: everywhere!(scenario),
};

/// The last one is refused; the others answer never.
async fn ask(server: u32) -> Result<(), u32> {
    if server == 39 { Err(server) } else { pending().await }
}

async fn scenario(variant: Variant) {
    let servers = (0..40).map(ask);
    let answer = if variant.has_bug() {
        try_join_all(servers).await.map(drop)
    } else {
        servers.collect::<FuturesUnordered<_>>().try_for_each(async |()| Ok(())).await
    };
    assert_eq!(answer, Err(39));
}
