//! `shuttle`

use super::{
    super::{Bug, Fault},
    LIB,
};

const TESTS: &str = "crates/tide/src/shuttle_tests.rs";
const RAISE: &str = "crates/tide/src/shuttle_tests/raise.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "shuttle",
    manifest: "
[target.'cfg(tidegate_shuttle)'.dependencies]
shuttle = \"0.9.10\"
",
    files: &[
        (LIB, "//! Tides.\n\n#[cfg(all(test, tidegate_shuttle))]\nmod shuttle_tests;\n"),
        (
            TESTS,
            "\
//! Two threads take two locks.

mod raise;

use std::sync::Arc;

use shuttle::{sync::Mutex, thread};

#[test]
fn shuttle_raises() {
    let program = || {
        let levels = Arc::new((Mutex::new(0), Mutex::new(0)));
        let other = Arc::clone(&levels);
        let thread = thread::spawn(move || raise::west(&other));
        raise::east(&levels);
        thread.join().unwrap();
    };
    shuttle::check_random(program, 2000);
    println!(\"shuttle-iterations: raises 2000\");
}
",
        ),
    ],
    clean: &[(
        RAISE,
        "\
use super::Mutex;

pub(super) fn east(levels: &(Mutex<u64>, Mutex<u64>)) {
    let mut first = levels.0.lock().unwrap();
    let mut second = levels.1.lock().unwrap();
    *first += 1;
    *second += 1;
}

pub(super) fn west(levels: &(Mutex<u64>, Mutex<u64>)) {
    east(levels);
}
",
    )],
    planted: &[Bug {
        name: "locks-in-two-orders",
        files: &[(
            RAISE,
            "\
use super::Mutex;

pub(super) fn east(levels: &(Mutex<u64>, Mutex<u64>)) {
    let mut first = levels.0.lock().unwrap();
    let mut second = levels.1.lock().unwrap();
    *first += 1;
    *second += 1;
}

pub(super) fn west(levels: &(Mutex<u64>, Mutex<u64>)) {
    let mut second = levels.1.lock().unwrap();
    let mut first = levels.0.lock().unwrap();
    *first += 1;
    *second += 1;
}
",
        )],
        reason: "1 tests failed",
        log: "deadlock!",
    }],
    empty: &[
        Bug {
            name: "no-program",
            files: &[(TESTS, "//! Nothing.\n")],
            reason: "no crate has a program for shuttle",
            log: "",
        },
        Bug {
            name: "few-schedules",
            files: &[(
                TESTS,
                "\
//! Hardly explored.

#[test]
fn shuttle_raises() {
    shuttle::check_random(|| (), 10);
    println!(\"shuttle-iterations: raises 10\");
}
",
            )],
            reason: "ran under 10 schedules only",
            log: "",
        },
        Bug {
            name: "a-silent-test",
            files: &[(TESTS, "//! Says not what it did.\n\n#[test]\nfn shuttle_raises() {}\n")],
            reason: "0 told their schedules",
            log: "",
        },
    ],
};
