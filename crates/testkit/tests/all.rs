//! All integration tests of the crate, in one binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "what is tested here is tested on plain tasks")]

#[path = "all/bubble.rs"]
mod bubble;
#[path = "all/cancel.rs"]
mod cancel;
#[path = "all/fault_flaky.rs"]
mod fault_flaky;
#[path = "all/fault_io.rs"]
mod fault_io;
#[path = "all/fault_net.rs"]
mod fault_net;
#[path = "all/leak.rs"]
mod leak;
#[path = "all/stress.rs"]
mod stress;
