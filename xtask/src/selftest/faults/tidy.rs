//! `tidy`

use super::{
    super::{Bug, Fault},
    LIB,
};

const WITH_WAIT: &str = "\
#![doc = include_str!(\"../README.md\")]
#![forbid(unsafe_code)]

mod level;
mod wait;

pub use self::level::risen;
pub use self::wait::calm;
";
const WAIT: &str = "crates/tide/src/wait.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "tidy",
    manifest: "",
    files: &[],
    clean: &[],
    planted: &[
        Bug {
            name: "an-async-fn-that-says-nothing",
            files: &[
                (LIB, WITH_WAIT),
                (WAIT, "//! Waiting.\n\n/// Waits for calm water.\npub async fn calm() {}\n"),
            ],
            reason: "`calm` lacks `# Cancel safety`",
            log: "# Errors and # Cancel safety: 1 found",
        },
        Bug {
            name: "a-promise-without-a-test",
            files: &[
                (LIB, WITH_WAIT),
                (
                    WAIT,
                    "\
//! Waiting.

/// Waits for calm water.
///
/// # Cancel safety
/// Cancel safe. Tested by `calm_is_dropped`.
pub async fn calm() {}
",
                ),
            ],
            reason: "names `calm_is_dropped`, and there is no such test",
            log: "tests of cancel safety: 1 found",
        },
        Bug {
            name: "tests-without-testkit",
            files: &[(
                "crates/tide/tests/all.rs",
                "//! Tests.\n\n#[test]\nfn rises() {\n    assert_eq!(tidegate_tide::risen(1, 2), 3);\n}\n",
            )],
            reason: "crates/tide/tests/: use tidegate-testkit",
            log: "tests use testkit: 1 found",
        },
        Bug {
            name: "an-ignored-test",
            files: &[(
                super::LEVEL,
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
    #[ignore]
    fn rises() {
        assert_eq!(super::risen(1, 2), 3);
    }
}
",
            )],
            reason: "`#[ignore]`",
            log: "no ignored test: 1 found",
        },
    ],
    // The rules are counted, and there is no workspace without a file.
    empty: &[],
};
