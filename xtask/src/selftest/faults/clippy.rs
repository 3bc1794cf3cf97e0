//! `clippy`

use super::{
    super::{Bug, Fault, base},
    LEVEL,
};

pub(super) const FAULT: Fault = Fault {
    lane: "clippy",
    manifest: "\n[features]\ndefault = [\"tides\"]\ntides = []\n",
    files: &[],
    clean: &[],
    planted: &[
        Bug {
            name: "a-thread-without-a-name",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    std::thread::spawn(move || level + by).join().unwrap_or(level)
}
",
            )],
            reason: "failed",
            log: "use of a disallowed method `std::thread::spawn`",
        },
        Bug {
            name: "dead-without-the-feature",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    #[cfg(feature = \"tides\")]
    let by = bounded(by);
    level.saturating_add(by)
}

fn bounded(by: u64) -> u64 {
    by.min(100)
}
",
            )],
            reason: "--no-default-features",
            log: "function `bounded` is never used",
        },
    ],
    empty: &[Bug {
        name: "nothing-published",
        files: base::UNPUBLISHED,
        reason: "no crate is published",
        log: "",
    }],
};
