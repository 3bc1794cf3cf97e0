//! One module a lane: the bug it is there to find.

mod cancel;
mod careful;
mod clippy;
mod compare;
mod deny;
mod doc;
mod explore;
mod features;
mod fmt;
mod icount;
mod loom;
mod minimal;
mod miri;
mod msrv;
mod shuttle;
mod site;
mod stress;
mod test;
mod tidy;
mod tsan;

use super::Fault;

/// What every lane is tested with, in the order of the lanes.
pub const FAULTS: &[Fault] = &[
    fmt::FAULT,
    tidy::FAULT,
    clippy::FAULT,
    features::FAULT,
    test::FAULT,
    cancel::FAULT,
    doc::FAULT,
    site::FAULT,
    deny::FAULT,
    msrv::FAULT,
    minimal::FAULT,
    loom::FAULT,
    shuttle::FAULT,
    stress::FAULT,
    compare::FAULT,
    miri::FAULT,
    tsan::FAULT,
    explore::FAULT,
    careful::FAULT,
    icount::FAULT,
];

/// Lanes without a planted bug, and why.
pub const EXEMPT: &[(&str, &str)] = &[
    ("mutants", "it is about the machines that it names, and the history of their files"),
    ("selftest", "its tests plant bugs in what the lanes say"),
    ("semver", "it compares with a tag, and a workspace that is made for a test has no history"),
    ("zoo", "it consists of planted bugs, each next to its cure"),
];

/// The root of the crate, for a bug that lies elsewhere in it.
const LIB: &str = "crates/tide/src/lib.rs";
/// Its one module.
const LEVEL: &str = "crates/tide/src/level.rs";
