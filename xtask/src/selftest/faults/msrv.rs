//! `msrv`

use super::{
    super::{Bug, Fault, base},
    LEVEL,
};

pub(super) const FAULT: Fault = Fault {
    lane: "msrv",
    manifest: "\n[dependencies]\nthiserror = \"2.0\"\n",
    files: &[],
    clean: &[],
    planted: &[Bug {
        name: "a-method-of-a-later-version",
        files: &[(
            LEVEL,
            "\
//! Levels of the water.

/// The last level, if it is high; since Rust 1.86.
pub fn risen(levels: &mut Vec<u64>) -> Option<u64> {
    levels.pop_if(|level| *level > 10)
}
",
        )],
        reason: "failed",
        log: "levels.pop_if(",
    }],
    empty: &[Bug {
        name: "nothing-published",
        files: base::UNPUBLISHED,
        reason: "there is no published crate",
        log: "",
    }],
};
