//! Runs that end in every way: for longer by `cargo xtask stress`, which builds this without the other
//! tests.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![allow(dead_code, reason = "the other tests use more of what helps them")]

mod stress {
    mod conservation;
    mod ends;
    #[path = "../all/ledger.rs"]
    mod ledger;
    #[path = "../all/runtimes.rs"]
    mod runtimes;
}
