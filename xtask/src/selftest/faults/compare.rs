//! `compare`

use super::super::{Bug, Fault};

const SUM: &str = "crates/treesum/src/sum.rs";
const LIB: &str = "crates/treesum/src/lib.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "compare",
    manifest: "",
    files: &[
        (
            "crates/treesum/Cargo.toml",
            "[package]\nname = \"treesum\"\nversion.workspace = true\nedition.workspace = true\npublish = false\n",
        ),
        (
            LIB,
            "\
//! Sums of nothing.

#[cfg(test)]
mod sum;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    #[test]
    fn compare_empty_input() {
        let program = std::env::var_os(\"TREESUM_B3SUM\").unwrap();
        let output = Command::new(program).stdin(Stdio::null()).output().unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        println!(\"compare: empty files=1\");
        assert_eq!(theirs.split_whitespace().next(), Some(super::sum::EMPTY));
    }
}
",
        ),
    ],
    clean: &[(
        SUM,
        "\
pub(crate) const EMPTY: &str = \"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262\";
",
    )],
    planted: &[Bug {
        name: "another-sum",
        files: &[(
            SUM,
            "\
pub(crate) const EMPTY: &str = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\";
",
        )],
        reason: "1 tests failed",
        log: "tests::compare_empty_input",
    }],
    empty: &[
        Bug { name: "no-test", files: &[(LIB, "//! Nothing.\n")], reason: "no test ran", log: "" },
        Bug {
            name: "no-file",
            files: &[(
                LIB,
                "//! None.\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn compare_nothing() {}\n}\n",
            )],
            reason: "0 told what they compared",
            log: "",
        },
    ],
};
