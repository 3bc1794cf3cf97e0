//! Tests that the attribute makes.

use crate::bubble::HOUR;
use std::{future::pending, num::ParseIntError, process::Command, time::Duration};
use tidegate_testkit::{Bubble, BubbleConfigError, settle};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::Mutex,
    task::spawn,
    time::{Instant, sleep},
};

#[tidegate_testkit::test]
async fn a_day_takes_no_time() {
    let begun = Instant::now();
    sleep(HOUR * 23).await;
    assert_eq!(begun.elapsed(), HOUR * 23);
}

#[tidegate_testkit::test]
async fn a_result_may_be_returned() -> Result<(), ParseIntError> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[tidegate_testkit::test(budget = "2d")]
async fn a_budget_may_be_larger() {
    sleep(HOUR * 47).await;
}

#[tidegate_testkit::test(budget = "1h")]
#[should_panic(expected = "the clock has moved on by more than 3600s")]
async fn a_budget_may_be_smaller() {
    sleep(HOUR * 2).await;
}

#[tidegate_testkit::test]
#[should_panic(expected = "deadlock after 0ns")]
async fn a_deadlock_is_a_panic() {
    let lock = Mutex::new(());
    let _held = lock.lock().await;
    let _again = lock.lock().await;
}

#[tidegate_testkit::test(seed = 31)]
#[should_panic(
    expected = "run it again: TIDEGATE_SEED=0x000000000000001f cargo test -p tidegate-testkit --test all -- --exact attribute::the_command_names_the_test"
)]
// Under Miri the program is the interpreter.
#[cfg(not(miri))]
async fn the_command_names_the_test() {
    pending::<()>().await;
}

#[tidegate_testkit::test]
#[should_panic(expected = "1 task(s)")]
async fn a_task_is_not_left_behind() {
    drop(spawn(pending::<()>()));
}

#[tidegate_testkit::test(allow_tasks = 1)]
async fn a_task_may_be_left_behind() {
    drop(spawn(pending::<()>()));
}

#[tidegate_testkit::test(grace = "50ms")]
async fn a_task_has_its_grace() {
    drop(spawn(sleep(Duration::from_millis(20))));
}

#[tidegate_testkit::test(allow_panics)]
async fn a_task_may_panic() {
    drop(spawn(async { panic!("as it should") }));
    settle().await;
}

#[cfg(not(miri))]
#[tidegate_testkit::test(real_io, patience = "30s")]
async fn real_io_is_there() {
    let (mut one, mut other) = UnixStream::pair().unwrap();
    one.write_all(b"x").await.unwrap();
    assert_eq!(other.read_u8().await.unwrap(), b'x');
}

const CHILD: &str = "TIDEGATE_ATTRIBUTE_CHILD";

/// Run as a process of its own by the test below.
#[cfg(not(miri))]
#[tidegate_testkit::test]
async fn an_error_that_is_returned() -> Result<(), ParseIntError> {
    if std::env::var_os(CHILD).is_some() {
        "seven".parse::<u8>()?;
    }
    Ok(())
}

#[cfg(not(miri))]
#[test]
fn an_error_that_is_returned_fails_the_test() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attribute::an_error_that_is_returned"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.code(), Some(101), "{child:?}");
    let told = String::from_utf8(child.stdout).unwrap();
    assert!(told.contains("ParseIntError"), "{told}");
}

#[test]
fn a_bubble_without_any_time_is_not_built() {
    let budget = Bubble::builder().virtual_budget(Duration::ZERO).build();
    assert_eq!(budget.unwrap_err(), BubbleConfigError::NoVirtualBudget);
    let patience = Bubble::builder().patience(Duration::ZERO).build();
    assert_eq!(patience.unwrap_err(), BubbleConfigError::NoPatience);
    let moves = Bubble::builder().move_budget(0).build();
    assert!(matches!(moves, Err(BubbleConfigError::NoMoveBudget)), "{moves:?}");
    let polls = Bubble::builder().poll_budget(0).build();
    assert_eq!(polls.unwrap_err(), BubbleConfigError::NoPollBudget);
}
