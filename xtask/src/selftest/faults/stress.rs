//! `stress`

use super::super::{Bug, Fault};

const TESTS: &str = "crates/tide/tests/stress.rs";
const ADD: &str = "crates/tide/tests/stress/add.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "stress",
    manifest: "\n[dev-dependencies]\ntidegate-testkit = { path = \"{crates}/testkit\" }\n",
    files: &[(
        TESTS,
        "\
//! Threads raise the level.

#[path = \"stress/add.rs\"]
mod add;

use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_testkit::Stress;

#[test]
fn stress_adds() {
    let report = Stress::new(\"adds\").run(
        |_rng| AtomicU64::new(0),
        |level, ctx| add::add(level, ctx),
        |level, threads| {
            let level = level.load(Ordering::SeqCst);
            if level == threads as u64 { Ok(()) } else { Err(format!(\"{level} of {threads}\")) }
        },
    );
    println!(\"{report}\");
}
",
    )],
    clean: &[(
        ADD,
        "\
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_testkit::Ctx;

pub(super) fn add(level: &AtomicU64, ctx: &mut Ctx) {
    ctx.point();
    level.fetch_add(1, Ordering::SeqCst);
}
",
    )],
    planted: &[Bug {
        name: "a-lost-update",
        files: &[(
            ADD,
            "\
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_testkit::Ctx;

pub(super) fn add(level: &AtomicU64, ctx: &mut Ctx) {
    let read = level.load(Ordering::SeqCst);
    ctx.point();
    level.store(read + 1, Ordering::SeqCst);
}
",
        )],
        reason: "1 tests failed",
        log: "stress: adds seed=",
    }],
    empty: &[
        Bug {
            name: "no-stress-test",
            files: &[(TESTS, "//! Nothing.\n")],
            reason: "no crate has a stress test",
            log: "",
        },
        Bug {
            name: "no-test",
            files: &[(TESTS, "//! Not marked as a test.\n\nfn stress_adds() {}\n")],
            reason: "no test ran",
            log: "",
        },
        Bug {
            name: "a-silent-test",
            files: &[(TESTS, "//! Says not what it did.\n\n#[test]\nfn stress_adds() {}\n")],
            reason: "0 told their rounds",
            log: "",
        },
        Bug {
            name: "no-round",
            files: &[(
                TESTS,
                "//! None.\n\n#[test]\nfn stress_adds() {\n    println!(\"stress: adds seed=0x1 rounds=0\");\n}\n",
            )],
            reason: "adds ran no round",
            log: "",
        },
    ],
};
