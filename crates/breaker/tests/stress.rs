//! Threads that call at once: for longer by `cargo xtask stress`, which builds this without the other tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod stress {
    mod keyed_races;
    mod races;
}
