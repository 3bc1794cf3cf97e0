//! `cancel`

use super::super::{Bug, Fault};

const TESTS: &str = "crates/tide/tests/cancel.rs";
const PASS_ON: &str = "crates/tide/tests/cancel/pass_on.rs";

pub(super) const FAULT: Fault = Fault {
    lane: "cancel",
    manifest: "
[dev-dependencies]
tidegate-testkit = { path = \"{crates}/testkit\" }
tokio = { version = \"1.54\", default-features = false, features = [\"sync\"] }
",
    files: &[(
        TESTS,
        "\
//! A message is passed on.

#[path = \"cancel/pass_on.rs\"]
mod pass_on;

use tidegate_testkit::cancel_everywhere;
use tokio::sync::{Mutex, mpsc};

pub(crate) struct Pipes {
    from: Mutex<mpsc::Receiver<u32>>,
    to: mpsc::Sender<u32>,
    arrived: Mutex<mpsc::Receiver<u32>>,
}

fn pipes() -> Pipes {
    let (fill, from) = mpsc::channel(1);
    let (to, arrived) = mpsc::channel(1);
    fill.try_send(7).unwrap();
    Pipes { from: Mutex::new(from), to, arrived: Mutex::new(arrived) }
}

#[test]
fn cancel_pass_on() {
    let report = cancel_everywhere(pipes, pass_on::pass_on, async |pipes: &Pipes, point| {
        let left = pipes.from.lock().await.try_recv().is_ok();
        let kept = left || pipes.arrived.lock().await.try_recv().is_ok();
        assert!(kept, \"the message is lost {point}\");
    });
    report.assert_covered(3);
}
",
    )],
    clean: &[(
        PASS_ON,
        "\
use super::Pipes;

pub(super) async fn pass_on(pipes: &Pipes) {
    let place = pipes.to.reserve().await.unwrap();
    let message = pipes.from.lock().await.recv().await.unwrap();
    place.send(message);
}
",
    )],
    planted: &[Bug {
        name: "a-message-lost-half-way",
        files: &[(
            PASS_ON,
            "\
use super::Pipes;

pub(super) async fn pass_on(pipes: &Pipes) {
    let message = pipes.from.lock().await.recv().await.unwrap();
    pipes.to.send(message).await.unwrap();
}
",
        )],
        reason: "1 tests failed",
        log: "the message is lost before operation 2",
    }],
    empty: &[
        Bug {
            name: "no-operation",
            files: &[(TESTS, "//! Nothing.\n")],
            reason: "no crate has a cancellation test",
            log: "",
        },
        Bug {
            name: "no-point",
            files: &[(
                TESTS,
                "\
//! Never waits.

use tidegate_testkit::cancel_everywhere;

#[test]
fn cancel_nothing() {
    let _ = cancel_everywhere(|| (), async |()| (), async |(), _| ());
}
",
            )],
            reason: "tidegate-tide dropped no operation at any point",
            log: "",
        },
    ],
};
