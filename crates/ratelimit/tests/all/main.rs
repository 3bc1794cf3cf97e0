//! The limiter from outside.

#[cfg(feature = "tower")]
mod layer;
mod waiting;
