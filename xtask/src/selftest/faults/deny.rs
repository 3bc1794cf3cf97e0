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
                    "[package]\nname = \"tidegate-moon\"\nversion.workspace = true\nedition.workspace = true\nlicense = \"GPL-3.0-only\"\n",
                ),
                MOON_LIB,
            ],
            reason: "failed",
            log: "GPL-3.0-only",
        },
        Bug {
            name: "two-versions-of-a-crate",
            files: &[
                (
                    MOON,
                    "[package]\nname = \"tidegate-moon\"\nversion.workspace = true\nedition.workspace = true\nlicense.workspace = true\n\n\
                     [dependencies]\ntidegate-tide = { path = \"../old\", version = \"0.0.1\" }\n",
                ),
                MOON_LIB,
                (
                    "crates/old/Cargo.toml",
                    "[package]\nname = \"tidegate-tide\"\nversion = \"0.0.1\"\nedition.workspace = true\nlicense.workspace = true\n",
                ),
                ("crates/old/src/lib.rs", "//! As it was.\n"),
            ],
            reason: "failed",
            log: "duplicate entries for crate 'tidegate-tide'",
        },
    ],
    // cargo-deny always looks at something: the workspace itself.
    empty: &[],
};
