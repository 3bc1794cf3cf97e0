//! `minimal-versions`

use super::super::{Bug, Fault, base};
use super::{LEVEL, LIB};

pub(super) const FAULT: Fault = Fault {
    lane: "minimal-versions",
    manifest: "\n[dependencies]\nslab = \"0.4.10\"\n",
    files: &[
        (LIB, "//! Tides.\n#![forbid(unsafe_code)]\n\npub mod level;\n"),
        (
            LEVEL,
            "\
//! Levels of the water.

/// Takes a level away; such a method came with version 0.4.3 of `slab`.
pub fn taken(levels: &mut slab::Slab<u64>, key: usize) -> Option<u64> {
    levels.try_remove(key)
}
",
        ),
    ],
    clean: &[],
    planted: &[Bug {
        name: "a-version-that-is-too-old",
        files: &[(
            "crates/tide/Cargo.toml",
            "\
[package]
name = \"tidegate-tide\"
description = \"How high the water stands.\"
version.workspace = true
edition.workspace = true
license.workspace = true

[lints]
workspace = true

[dependencies]
slab = \"0.4.0\"
",
        )],
        reason: "failed",
        log: "no method named `try_remove`",
    }],
    empty: &[Bug {
        name: "nothing-published",
        files: base::UNPUBLISHED,
        reason: "there is no published crate",
        log: "",
    }],
};
