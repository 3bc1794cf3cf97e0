//! `deny`

use super::super::{Bug, Fault};

const MOON: &str = "crates/moon/Cargo.toml";
const MOON_LIB: (&str, &str) = ("crates/moon/src/lib.rs", "//! What makes the tides.\n");

pub(super) const FAULT: Fault = Fault {
    lane: "deny",
    manifest: "",
    files: &[],
    clean: &[],
    planted: &[
        Bug {
            name: "a-licence-that-asks-for-more",
            files: &[
                (
                    MOON,
                    "\
[package]
name = \"tidegate-moon\"
version.workspace = true
edition.workspace = true
license = \"GPL-3.0-only\"
",
                ),
                MOON_LIB,
            ],
            reason: "failed",
            log: "GPL-3.0-only",
        },
        Bug {
            name: "a-dependency-of-any-version",
            files: &[
                (
                    MOON,
                    "\
[package]
name = \"tidegate-moon\"
version.workspace = true
edition.workspace = true
license.workspace = true

[dependencies]
thiserror = \"*\"
",
                ),
                MOON_LIB,
            ],
            reason: "failed",
            log: "wildcard",
        },
    ],
    // cargo-deny always looks at something: the workspace itself.
    empty: &[],
};
