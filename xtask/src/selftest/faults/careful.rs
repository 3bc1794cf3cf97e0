//! `careful`

use super::super::{Bug, Fault};
use super::{LEVEL, LIB};

pub(super) const FAULT: Fault = Fault {
    lane: "careful",
    manifest: "\n[package.metadata.tidegate]\nlanes = [\"careful\"]\n",
    files: &[(LIB, "//! Tides.\n\n#[cfg(test)]\nmod level;\n")],
    clean: &[(
        LEVEL,
        "\
#[test]
fn the_last_one() {
    let levels = vec![1, 2, 3];
    // SAFETY: there are three.
    assert_eq!(unsafe { *levels.get_unchecked(2) }, 3);
}
",
    )],
    planted: &[Bug {
        name: "one-past-the-end",
        files: &[(
            LEVEL,
            "\
#[test]
fn the_last_one() {
    let levels = vec![1, 2, 3];
    // SAFETY: there are three.
    let last = unsafe { levels.get_unchecked(3) };
    assert!(std::ptr::from_ref(last).is_aligned());
}
",
        )],
        // nextest counts the test whose process was ended, `cargo test` does not.
        reason: "failed",
        log: "unsafe precondition(s) violated: slice::get_unchecked",
    }],
    empty: &[Bug {
        name: "no-test",
        files: &[(LEVEL, "// Nothing.\n")],
        reason: "no test ran",
        log: "",
    }],
};
