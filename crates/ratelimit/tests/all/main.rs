//! The limiter from outside.

mod waiting;
