//! Whole pipelines, as a user runs them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod all {
    mod bounds;
    mod cancel;
    mod deadlocks;
    mod errors;
    mod graph;
    mod kinds;
    mod ledger;
    mod order;
    mod report;
    mod runtimes;
    mod sources;
    mod stream;
}
