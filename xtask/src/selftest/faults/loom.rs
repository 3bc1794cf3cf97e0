//! `loom`

use super::{
    super::{Bug, Fault},
    LIB,
};

const TESTS: &str = "crates/tide/src/loom_tests.rs";
const ADD: &str = "crates/tide/src/loom_tests/add.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "loom",
    manifest: "
[target.'cfg(tidegate_loom)'.dependencies]
loom = { version = \"0.7.2\", features = [\"futures\"] }
",
    files: &[
        (LIB, "//! Tides.\n\n#[cfg(all(test, tidegate_loom))]\nmod loom_tests;\n"),
        (
            TESTS,
            "\
//! Two threads raise the level.

mod add;

use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[test]
fn loom_adds() {
    loom::model(|| {
        let level = Arc::new(AtomicU64::new(0));
        let other = Arc::clone(&level);
        let thread = loom::thread::spawn(move || add::add(&other));
        add::add(&level);
        thread.join().unwrap();
        assert_eq!(level.load(Ordering::SeqCst), 2);
    });
}
",
        ),
    ],
    clean: &[(
        ADD,
        "\
use super::{AtomicU64, Ordering};

pub(super) fn add(level: &AtomicU64) {
    level.fetch_add(1, Ordering::SeqCst);
}
",
    )],
    planted: &[Bug {
        name: "a-lost-update",
        files: &[(
            ADD,
            "\
use super::{AtomicU64, Ordering};

pub(super) fn add(level: &AtomicU64) {
    let read = level.load(Ordering::SeqCst);
    level.store(read + 1, Ordering::SeqCst);
}
",
        )],
        reason: "1 tests failed",
        log: "loom_tests::loom_adds",
    }],
    empty: &[
        Bug {
            name: "no-model",
            files: &[(TESTS, "//! Nothing.\n")],
            reason: "no crate has a model",
            log: "",
        },
        Bug {
            name: "no-test",
            files: &[(TESTS, "//! Not marked as a test.\n\nfn loom_adds() {}\n")],
            reason: "no test ran",
            log: "",
        },
        Bug {
            name: "no-race",
            files: &[(
                TESTS,
                "//! One thread.\n\n#[test]\nfn loom_adds() {\n    loom::model(|| ());\n}\n",
            )],
            reason: "nothing raced",
            log: "",
        },
    ],
};
