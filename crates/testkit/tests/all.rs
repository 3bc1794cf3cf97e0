//! All integration tests of the crate, in one binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "all/leak.rs"]
mod leak;
#[path = "all/stress.rs"]
mod stress;
