//! `site`

use super::super::{Bug, Fault};

const PAGE: &str = "docs/src/index.md";

pub(super) const FAULT: Fault = Fault {
    lane: "site",
    manifest: "",
    files: &[],
    clean: &[],
    planted: &[
        Bug {
            name: "a-link-to-nowhere",
            files: &[(
                PAGE,
                "# tide\n\nSee [the moon](moon.md).\n\n```rust\nassert_eq!(tidegate_tide::risen(0, 1), 1);\n```\n",
            )],
            reason: "broken links",
            log: "index.html: moon.html: no such file",
        },
        Bug {
            name: "code-that-is-wrong",
            files: &[(
                PAGE,
                "# tide\n\nSee [the API](api/index.html).\n\n```rust\nassert_eq!(tidegate_tide::risen(0, 1), 2);\n```\n",
            )],
            reason: "1 tests failed",
            log: "index.md - index",
        },
        Bug {
            name: "a-chapter-that-is-missing",
            files: &[(
                "docs/src/SUMMARY.md",
                "# Summary\n\n[tide](index.md)\n\n- [moon](moon.md)\n",
            )],
            reason: "failed",
            log: "moon.md",
        },
    ],
    empty: &[Bug {
        name: "no-code",
        files: &[(PAGE, "# tide\n\nSee [the API](api/index.html).\n"), ("README.md", "# tide\n")],
        reason: "no test ran",
        log: "",
    }],
};
