//! `test`

use super::{
    super::{Bug, Fault},
    LEVEL,
};

pub(super) const FAULT: Fault = Fault {
    lane: "test",
    manifest: "",
    files: &[],
    clean: &[],
    planted: &[
        Bug {
            name: "a-failing-test",
            files: &[(
                "crates/tide/tests/all.rs",
                "//! Tests.\n\n#[test]\nfn falls() {\n    assert_eq!(tidegate_tide::risen(1, 2), 2);\n}\n",
            )],
            reason: "1 tests failed",
            log: "falls",
        },
        Bug {
            name: "a-failing-doctest",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
///
/// ```
/// assert_eq!(tidegate_tide::risen(1, 2), 2);
/// ```
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    level.saturating_add(by)
}

#[cfg(test)]
mod tests {
    #[test]
    fn rises() {
        assert_eq!(super::risen(1, 2), 3);
    }
}
",
            )],
            reason: "doctests: 1 tests failed",
            log: "level.rs - level::risen (line 5)",
        },
        Bug {
            name: "a-test-that-ends-its-program",
            files: &[(
                "crates/tide/tests/all.rs",
                "//! Tests.\n\n#[test]\nfn aborts() {\n    std::process::abort();\n}\n",
            )],
            reason: "failed",
            log: "SIGABRT",
        },
    ],
    empty: &[
        Bug {
            name: "no-test",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    level.saturating_add(by)
}
",
            )],
            reason: "no test ran",
            log: "",
        },
        Bug {
            name: "no-doctest",
            files: &[(
                LEVEL,
                "\
//! Levels of the water.

/// The level after a rise.
#[must_use]
pub fn risen(level: u64, by: u64) -> u64 {
    level.saturating_add(by)
}

#[cfg(test)]
mod tests {
    #[test]
    fn rises() {
        assert_eq!(super::risen(1, 2), 3);
    }
}
",
            )],
            reason: "doctests: no test ran",
            log: "",
        },
    ],
};
