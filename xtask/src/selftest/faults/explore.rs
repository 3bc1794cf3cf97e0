//! `explore`

use super::super::{Bug, Fault};

const TESTS: &str = "crates/tide/tests/balance.rs";
const WITHDRAW: &str = "crates/tide/tests/balance/withdraw.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "explore",
    manifest: "
[dev-dependencies]
tidegate-testkit = { path = \"{crates}/testkit\" }
tokio = { version = \"1.54\", default-features = false, features = [\"rt\", \"sync\"] }
",
    files: &[(
        TESTS,
        "\
//! Two withdraw what is there for one.

#[path = \"balance/withdraw.rs\"]
mod withdraw;

use std::sync::Arc;
use tidegate_testkit::{Seeds, explore};
use tokio::{sync::Mutex, task::JoinSet};

#[test]
fn explore_two_withdraw() {
    let report = explore(Seeds::n(256), async |_seed| {
        let balance = Arc::new(Mutex::new(10));
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            tasks.spawn(withdraw::withdraw(Arc::clone(&balance)));
        }
        tasks.join_all().await;
        assert_eq!(*balance.lock().await, 0, \"more was taken than was there\");
    });
    report.assert_passed();
}
",
    )],
    clean: &[(
        WITHDRAW,
        "\
use std::sync::Arc;
use tokio::sync::Mutex;

pub(super) async fn withdraw(balance: Arc<Mutex<i32>>) {
    let mut balance = balance.lock().await;
    if *balance >= 10 {
        *balance -= 10;
    }
}
",
    )],
    planted: &[Bug {
        name: "a-look-and-then-a-withdrawal",
        files: &[(
            WITHDRAW,
            "\
use std::sync::Arc;
use tokio::sync::Mutex;

pub(super) async fn withdraw(balance: Arc<Mutex<i32>>) {
    let seen = *balance.lock().await;
    if seen >= 10 {
        *balance.lock().await -= 10;
    }
}
",
        )],
        reason: "1 tests failed",
        log: "more was taken than was there",
    }],
    empty: &[
        Bug {
            name: "no-test",
            files: &[(TESTS, "//! Nothing.\n")],
            reason: "no crate has a test that explores its schedules",
            log: "",
        },
        Bug {
            name: "no-seed",
            files: &[(TESTS, "//! Nothing.\n\n#[test]\nfn explore_nothing() {}\n")],
            reason: "tidegate-tide did not tell with how many seeds it ran",
            log: "",
        },
    ],
};
