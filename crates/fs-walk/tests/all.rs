//! One binary for all integration tests of the walk.
#![cfg(not(tidegate_loom))]

#[path = "all/async_stream.rs"]
mod async_stream;
#[path = "all/atomic_writer.rs"]
mod atomic_writer;
#[path = "all/child.rs"]
mod child;
#[path = "all/descriptors.rs"]
mod descriptors;
#[cfg(feature = "gitignore")]
#[path = "all/gitignore.rs"]
mod gitignore;
#[path = "all/links.rs"]
mod links;
#[path = "all/oracle.rs"]
mod oracle;
#[path = "all/races.rs"]
mod races;
#[path = "all/roots.rs"]
mod roots;
#[path = "all/selection.rs"]
mod selection;
#[path = "all/tree.rs"]
mod tree;
#[path = "all/visitors.rs"]
mod visitors;
