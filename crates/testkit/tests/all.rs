//! All integration tests of the crate, in one binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "what is tested here is tested on plain tasks")]

#[path = "all/attribute.rs"]
mod attribute;
#[path = "all/bubble.rs"]
mod bubble;
#[path = "all/bubble_beside.rs"]
mod bubble_beside;
#[path = "all/cancel.rs"]
mod cancel;
// Miri is too slow for rounds that have to meet by chance, and for searches without unsafe code.
#[cfg(not(miri))]
#[path = "all/conformance.rs"]
mod conformance;
#[path = "all/fault_flaky.rs"]
mod fault_flaky;
#[path = "all/fault_io.rs"]
mod fault_io;
#[path = "all/fault_net.rs"]
mod fault_net;
#[path = "all/history.rs"]
mod history;
#[path = "all/leak.rs"]
mod leak;
#[cfg(not(miri))]
#[path = "all/linear.rs"]
mod linear;
#[cfg(not(miri))]
#[path = "all/oracle.rs"]
mod oracle;
#[path = "all/step.rs"]
mod step;
#[path = "all/stress.rs"]
mod stress;
