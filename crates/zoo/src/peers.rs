//! What the attributes of the other tools make of a function.

use std::future::Future;
use tokio::runtime::Builder;

/// `#[tokio::test]`.
pub(crate) fn tokio_test(test: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// `#[tokio::test(start_paused = true)]`.
pub(crate) fn tokio_paused(test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(test);
}

/// `#[test]`, again and again: what is done about threads where there is no tool.
pub(crate) fn plain(test: impl Fn()) {
    for _ in 0..1000 {
        test();
    }
}
