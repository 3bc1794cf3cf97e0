//! The limiter from outside.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "stream")]
mod stream;
mod waiting;
