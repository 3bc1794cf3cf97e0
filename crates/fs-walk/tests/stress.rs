//! Walkers of a tree that changes: for longer by `cargo xtask stress`, which builds this without the
//! other tests.
#![cfg(not(tidegate_loom))]
#![allow(dead_code, reason = "the other tests use more of what helps them")]

#[path = "all/child.rs"]
mod child;
#[path = "all/tree.rs"]
mod tree;
#[path = "stress/walks.rs"]
mod walks;
