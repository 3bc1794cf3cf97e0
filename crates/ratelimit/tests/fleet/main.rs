//! Fleets of limiters from outside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod cancel;
#[cfg(all(feature = "redis", unix))]
mod cancel_redis;
mod hurried;
mod locks;
mod looks;
mod outage;
mod pace;
mod quota;
mod races;
#[cfg(all(feature = "redis", unix))]
mod redis;
#[cfg(all(feature = "redis", unix))]
mod redis_connection;
#[cfg(all(feature = "redis", unix))]
mod redis_keys;
mod refused;
mod returns;
#[cfg(all(feature = "redis", unix))]
mod skew;
mod store;
mod together;
