//! `miri`

use super::{
    super::{Bug, Fault},
    LEVEL, LIB,
};

pub(super) const FAULT: Fault = Fault {
    lane: "miri",
    manifest: "\n[package.metadata.tidegate]\nlanes = [\"miri\"]\n",
    files: &[(LIB, "//! Tides.\n\npub mod level;\n")],
    clean: &[(
        LEVEL,
        "\
//! Levels of the water.

/// The last level.
///
/// # Safety
/// There is one.
#[must_use]
pub unsafe fn last(levels: &[u64]) -> u64 {
    // SAFETY: the caller says that there is one.
    unsafe { *levels.as_ptr().add(levels.len() - 1) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_one() {
        assert_eq!(unsafe { super::last(&[1, 2, 3]) }, 3);
    }
}
",
    )],
    planted: &[Bug {
        name: "one-past-the-end",
        files: &[(
            LEVEL,
            "\
//! Levels of the water.

/// The last level.
///
/// # Safety
/// There is one.
#[must_use]
pub unsafe fn last(levels: &[u64]) -> u64 {
    // SAFETY: the caller says that there is one.
    unsafe { *levels.as_ptr().add(levels.len()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_one() {
        let _ = unsafe { super::last(&[1, 2, 3]) };
    }
}
",
        )],
        reason: "fail",
        log: "Undefined Behavior",
    }],
    empty: &[Bug {
        name: "no-test",
        files: &[(LEVEL, "//! Nothing.\n")],
        reason: "no test ran",
        log: "",
    }],
};
