//! The limiter from outside.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tower")]
mod layer;
mod waiting;
