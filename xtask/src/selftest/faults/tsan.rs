//! `tsan`

use super::{
    super::{Bug, Fault},
    LEVEL, LIB,
};

pub(super) const FAULT: Fault = Fault {
    lane: "tsan",
    manifest: "\n[package.metadata.tidegate]\nlanes = [\"tsan\"]\n",
    files: &[(LIB, "//! Tides.\n\n#[cfg(test)]\nmod level;\n")],
    clean: &[(
        LEVEL,
        "\
use std::sync::Mutex;

static LEVEL: Mutex<u64> = Mutex::new(0);

fn add() {
    *LEVEL.lock().unwrap() += 1;
}

#[test]
fn two_threads_add() {
    let other = std::thread::spawn(add);
    add();
    other.join().unwrap();
}
",
    )],
    planted: &[Bug {
        name: "an-unlocked-write",
        files: &[(
            LEVEL,
            "\
use std::cell::UnsafeCell;

struct Shared(UnsafeCell<u64>);

unsafe impl Sync for Shared {}

static LEVEL: Shared = Shared(UnsafeCell::new(0));

fn add() {
    let level = LEVEL.0.get();
    for _ in 0..1000 {
        unsafe { level.write_volatile(level.read_volatile() + 1) };
    }
}

#[test]
fn two_threads_add() {
    let other = std::thread::spawn(add);
    add();
    other.join().unwrap();
}
",
        )],
        reason: "ThreadSanitizer reports a race",
        log: "WARNING: ThreadSanitizer: data race",
    }],
    empty: &[Bug {
        name: "no-test",
        files: &[(LEVEL, "// Nothing.\n")],
        reason: "no test ran",
        log: "",
    }],
};
