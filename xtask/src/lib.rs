//! The project's own build tool: `cargo xtask <lane>` verifies one thing, `cargo xtask ci` everything.
//!
//! A lane is a function that runs child processes and fills a [`report::Report`]; what makes it
//! pass or fail is decided by pure functions over the children's output, which have unit tests.
//!
//! * [`cli`] parses the command line, [`plan`] picks the lanes, [`run`] runs them.
//! * [`lane`] is the list of lanes, with what each costs in a [`profile`]; [`lanes`] holds one module a lane.
//! * [`cx`] is what a lane works with: log, time limit, report.
//! * [`process`] runs a child so that it cannot outlive its limit or this program.
//! * [`failures`] finds in a log what failed.
//! * [`summary`] makes one report of many, [`junit`] writes it as XML.
//! * [`repro`] runs one of them again.
//! * [`parse`] reads numbers out of test output.
//! * [`tidy`] holds the rules of the house that a program can check.
//! * [`selftest`] plants bugs and sees every lane fail for them.
#![forbid(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod clock;
pub mod cx;
pub mod doctor;
pub mod failures;
pub mod junit;
pub mod lane;
pub mod lanes;
pub mod outcome;
pub mod parse;
pub mod plan;
pub mod process;
pub mod profile;
pub mod report;
pub mod repro;
pub mod run;
pub mod selftest;
pub mod sources;
pub mod summary;
pub mod term;
pub mod tidy;
pub mod tools;
pub mod workspace;
