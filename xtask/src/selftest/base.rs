//! The workspace in which bugs are planted: as small as one can be that passes every lane.
//!
//! `{settings}` stands for the lints and profiles of this very workspace, `{version}` for a
//! version that no other variant has, and `{manifest}` for what the lane adds.

use super::Files;

/// The manifest of the root.
const ROOT: &str = r#"[workspace]
resolver = "3"
members = ["crates/*", "docs"]
default-members = ["crates/*"]

[workspace.package]
version = "{version}"
edition = "2024"
rust-version = "1.85"
license = "MIT OR Apache-2.0"
authors = ["The tidegate authors"]

{settings}"#;

/// The crate, for a workspace that publishes none.
pub(super) const UNPUBLISHED: Files = &[(
    "crates/tide/Cargo.toml",
    "\
[package]
name = \"tidegate-tide\"
version.workspace = true
edition.workspace = true
publish = false

[lints]
workspace = true
",
)];

/// Everything but the settings files, which are those of this workspace.
pub(super) const FILES: Files = &[
    ("Cargo.toml", ROOT),
    ("README.md", "# tide\n\n```rust\nassert_eq!(tidegate_tide::risen(1, 2), 3);\n```\n"),
    (
        "crates/tide/Cargo.toml",
        r#"[package]
name = "tidegate-tide"
description = "How high the water stands."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
authors.workspace = true

[lints]
workspace = true
{manifest}"#,
    ),
    ("crates/tide/README.md", "# tide\n\nHow high the water stands.\n"),
    ("crates/tide/CHANGELOG.md", "# Changelog\n\n## Unreleased\n\nThe first one.\n"),
    (
        "crates/tide/src/lib.rs",
        "\
#![doc = include_str!(\"../README.md\")]
#![forbid(unsafe_code)]

mod level;

pub use self::level::risen;
",
    ),
    (
        "crates/tide/src/level.rs",
        "\
//! Levels of the water.

/// The level after a rise.
///
/// ```
/// assert_eq!(tidegate_tide::risen(1, 2), 3);
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
    ),
    (
        "docs/Cargo.toml",
        r#"[package]
name = "tidegate-docs"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish = false

[lints]
workspace = true

[lib]
path = "lib.rs"

[dependencies]
tidegate-tide = { path = "../crates/tide" }
"#,
    ),
    (
        "docs/lib.rs",
        "\
//! The pages as doctests.
#![forbid(unsafe_code)]

#[doc = include_str!(\"../README.md\")]
pub mod readme {}

#[doc = include_str!(\"src/index.md\")]
pub mod index {}
",
    ),
    ("docs/src/SUMMARY.md", "# Summary\n\n[tide](index.md)\n"),
    (
        "docs/src/index.md",
        "# tide\n\nSee [the API](api/index.html).\n\n```rust\nassert_eq!(tidegate_tide::risen(0, 1), 1);\n```\n",
    ),
];
