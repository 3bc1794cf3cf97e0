//! One test binary; the modules follow the sources.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "all/app.rs"]
mod app;
#[path = "all/cancel.rs"]
mod cancel;
#[path = "all/footguns.rs"]
mod footguns;
#[path = "all/scope.rs"]
mod scope;
#[path = "all/stress.rs"]
mod stress;
