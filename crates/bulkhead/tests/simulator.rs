//! Limits that find themselves, judged by queues that are simulated: the limits and the bulkheads of the
//! crate, with callers, a server and a clock made up. A run is the same on every machine.
//!
//! With `TIDEGATE_WRITE=1` in the environment, the plots and tables of the docs are written anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::cast_precision_loss, reason = "the numbers of a simulation are small")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]

mod simulator {
    mod dice;
    mod fairness;
    mod limits;
    mod naive;
    mod overload;
    mod page;
    mod plot;
    mod report;
    mod scenarios;
    mod server;
    mod world;
}
