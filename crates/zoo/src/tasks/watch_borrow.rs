//! A value of a `watch` channel that is borrowed while it is replaced.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::sync::watch;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "watch-borrow",
    kind: Kind::Async,
    source: Source::GitHub("tokio-rs/tokio", 4246),
    about: "`send` waits for a reference from `borrow` on the same thread, which blocks for ever",
    tests: everywhere!(scenario),
};

/// Counts to the next even number.
fn raise(tip: &watch::Sender<u64>, variant: Variant) {
    if variant.has_bug() {
        let height = tip.borrow();
        tip.send_replace(*height + 2 - *height % 2);
    } else {
        let height = *tip.borrow();
        tip.send_replace(height + 2 - height % 2);
    }
}

async fn scenario(variant: Variant) {
    let (tip, mut heights) = watch::channel(0);
    let reader =
        tokio::spawn(async move { *heights.wait_for(|height| *height > 3).await.unwrap() });
    for _ in 0..2 {
        raise(&tip, variant);
        tokio::task::yield_now().await;
    }
    assert_eq!(reader.await.unwrap(), 4);
}
