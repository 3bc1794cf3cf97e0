//! `features`

use super::super::{Bug, Fault, base};
use super::LEVEL;

pub(super) const FAULT: Fault = Fault {
    lane: "features",
    manifest: "\n[features]\ndefault = [\"ebb\"]\nebb = []\nflood = [\"ebb\"]\n",
    files: &[],
    clean: &[],
    planted: &[
        Bug {
            name: "broken-without-a-feature",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    level.saturating_add(bounded(by))
}

#[cfg(feature = \"ebb\")]
fn bounded(by: u64) -> u64 {
    by.min(100)
}
",
            )],
            reason: "--no-default-features -p tidegate-tide -- -D warnings",
            log: "cannot find function `bounded`",
        },
        Bug {
            name: "broken-with-one-feature",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    #[cfg(feature = \"flood\")]
    let by = by.checked_mul(2);
    level.saturating_add(by)
}
",
            )],
            reason: "--features=flood",
            log: "mismatched types",
        },
    ],
    empty: &[Bug {
        name: "nothing-published",
        files: base::UNPUBLISHED,
        reason: "there is no published crate",
        log: "",
    }],
};
