//! `fmt`

use super::{
    super::{Bug, Fault},
    LEVEL,
};

pub(super) const FAULT: Fault = Fault {
    lane: "fmt",
    manifest: "",
    files: &[],
    clean: &[],
    planted: &[Bug {
        name: "a-line-out-of-place",
        files: &[(
            LEVEL,
            "//! Levels.\n\n/// The level after a rise.\n#[must_use]\npub fn risen(level: u64, by: u64) -> u64 {\n  level + by\n}\n",
        )],
        reason: "files are not formatted",
        log: "Diff in",
    }],
    // No workspace is without a file.
    empty: &[],
};
