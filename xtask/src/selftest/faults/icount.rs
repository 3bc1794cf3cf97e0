//! `icount`

use super::super::{Bug, Fault};

const BENCH: &str = "crates/tide/benches/icount.rs";
const TURNS: &str = "crates/tide/benches/icount/turns.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "icount",
    manifest: "\n[[bench]]\nname = \"icount\"\nharness = false\n",
    files: &[
        (
            BENCH,
            "\
//! One case: the tide turns.

#[path = \"icount/turns.rs\"]
mod turns;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(_case), Some(times)) = (args.next(), args.next()) else {
        return println!(\"turn\");
    };
    for _ in 0..times.parse::<u64>().unwrap() {
        for turn in 0..turns::EACH {
            std::hint::black_box(turn);
        }
    }
}
",
        ),
        (
            "docs/data/icount.json",
            "{\"rustc\": \"rustc of another day\", \"counts\": {\"tidegate-tide turn\": 1000}}\n",
        ),
    ],
    clean: &[(TURNS, "pub(crate) const EACH: u64 = 20;\n")],
    planted: &[Bug {
        name: "a-hundred-times-the-work",
        files: &[(TURNS, "pub(crate) const EACH: u64 = 2000;\n")],
        reason: "instructions in place of 1000",
        log: "tidegate-tide turn: ",
    }],
    empty: &[Bug {
        name: "no-program",
        files: &[
            (BENCH, ""),
            (
                "crates/tide/Cargo.toml",
                "\
[package]
name = \"tidegate-tide\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true

[lints]
workspace = true
",
            ),
        ],
        reason: "nothing was counted",
        log: "",
    }],
};
