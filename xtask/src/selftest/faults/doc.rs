//! `doc`

use super::{
    super::{Bug, Fault, base},
    LEVEL,
};

pub(super) const FAULT: Fault = Fault {
    lane: "doc",
    manifest: "",
    files: &[],
    clean: &[],
    planted: &[Bug {
        name: "a-link-to-nowhere",
        files: &[(
            LEVEL,
            "\
//! Levels of the water.

/// The level after a rise; see [`fallen`].
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    level.saturating_add(by)
}
",
        )],
        reason: "failed",
        log: "unresolved link to `fallen`",
    }],
    empty: &[Bug {
        name: "nothing-published",
        files: base::UNPUBLISHED,
        reason: "no crate is published",
        log: "",
    }],
};
