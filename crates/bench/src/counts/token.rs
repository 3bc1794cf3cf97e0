//! Tokens.

use std::{any::Any, hint::black_box};
use tidegate_core::CancelToken;
use tokio_util::sync::CancellationToken;

pub(crate) fn child_ours(times: u64) -> Box<dyn Any> {
    let parent = CancelToken::new();
    for _ in 0..times {
        drop(black_box(parent.child()));
    }
    Box::new(parent)
}

pub(crate) fn child_tokio_util(times: u64) -> Box<dyn Any> {
    let parent = CancellationToken::new();
    for _ in 0..times {
        drop(black_box(parent.child_token()));
    }
    Box::new(parent)
}
