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
#[cfg(not(miri))]
#[path = "all/conformance_limiter.rs"]
mod conformance_limiter;
#[cfg(not(miri))]
#[path = "all/conformance_pool.rs"]
mod conformance_pool;
#[path = "all/explore.rs"]
mod explore;
#[path = "all/fault_flaky.rs"]
mod fault_flaky;
#[path = "all/fault_io.rs"]
mod fault_io;
#[path = "all/fault_io_at.rs"]
mod fault_io_at;
#[path = "all/fault_net.rs"]
mod fault_net;
#[path = "all/fault_net_connect.rs"]
mod fault_net_connect;
#[path = "all/fault_service.rs"]
mod fault_service;
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
#[path = "all/same_text.rs"]
mod same_text;
#[path = "all/step.rs"]
mod step;
#[path = "all/stress.rs"]
mod stress;
