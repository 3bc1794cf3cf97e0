//! The same failure has the same text, to the byte, and verdicts that count polls.

use crate::bubble::{HOUR, PATIENCE};
use std::{
    future::pending,
    sync::{Arc, mpsc},
    time::Duration,
};
use tidegate_testkit::{
    Bubble, BubbleBuilder, FailureKind, FaultIo, FaultPlan, Seed, advance_to_next_timer,
};
use tokio::{
    io::AsyncReadExt as _,
    sync::{Barrier, Mutex},
    task::{spawn, spawn_blocking, yield_now},
    time::{interval, sleep},
};

/// Runs a test that fails twice, and gives its text if both are the same.
#[track_caller]
fn text<F: Future>(set_up: fn(BubbleBuilder) -> BubbleBuilder, test: impl Fn() -> F) -> String {
    let run = || {
        let bubble = set_up(Bubble::builder().seed(Seed::new(7))).build().unwrap();
        match bubble.run(async { test().await }) {
            Ok(_) => panic!("it has passed"),
            Err(failure) => failure.to_string(),
        }
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    first
}

#[test]
fn a_deadlock() {
    let told = text(
        |bubble| bubble,
        async || {
            let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
            let both = Arc::new(Barrier::new(2));
            let (other_a, other_b, other_both) =
                (Arc::clone(&a), Arc::clone(&b), Arc::clone(&both));
            drop(spawn(async move {
                let _b = other_b.lock().await;
                other_both.wait().await;
                let _a = other_a.lock().await;
            }));
            sleep(Duration::from_millis(1234)).await;
            let _a = a.lock().await;
            both.wait().await;
            let _b = b.lock().await;
        },
    );
    assert!(told.starts_with("deadlock after 1.234s: the test waits with 1 task"), "{told}");
}

#[test]
fn timers_without_end() {
    let told = text(
        |bubble| bubble.virtual_budget(HOUR),
        async || {
            let ticking = spawn(async {
                let mut ticks = interval(Duration::from_secs(7));
                loop {
                    ticks.tick().await;
                }
            });
            ticking.await.unwrap();
        },
    );
    assert!(told.starts_with("the clock has moved on by more than 3600s"), "{told}");
}

#[test]
fn a_panic_and_the_deadlock_after_it() {
    let told = text(
        |bubble| bubble,
        async || {
            drop(spawn(async { panic!("the root of it") }));
            pending::<()>().await;
        },
    );
    assert!(told.contains("\na task panicked at crates/testkit/tests/all/same_text.rs:"), "{told}");
}

#[test]
fn a_leaked_task() {
    let told = text(|bubble| bubble, async || drop(spawn(pending::<()>())));
    assert!(told.starts_with("the test has returned, and has left behind: 1 task(s)\n"), "{told}");
}

/// Their numbers are others each time.
#[test]
fn leaked_threads() {
    let told = text(
        |bubble| bubble.watch(|guard| guard.threads_named("text-left")),
        async || {
            let (held, hears) = mpsc::sync_channel::<()>(0);
            let (begin, begun) = mpsc::sync_channel(1);
            let wait = move || {
                begin.send(()).unwrap();
                hears.recv().unwrap_err();
            };
            std::thread::Builder::new().name("text-left".into()).spawn(wait).unwrap();
            // It names itself first.
            begun.recv().unwrap();
            // It ends after the verdict.
            HELD.with_borrow_mut(|all| all.push(held));
        },
    );
    assert!(told.contains("left behind: 1 thread(s) \"text-left\"\n"), "{told}");
}

thread_local! {
    static HELD: std::cell::RefCell<Vec<mpsc::SyncSender<()>>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[test]
fn blocking_work_that_hangs() {
    let told = text(
        |bubble| bubble.patience(PATIENCE),
        async || {
            let (held, hears) = mpsc::sync_channel::<()>(0);
            let work = spawn_blocking(move || hears.recv());
            work.await.unwrap().unwrap_err();
            drop(held);
        },
    );
    assert!(told.starts_with("stuck after 0ns: the test waits for a thread"), "{told}");
}

#[test]
fn tasks_that_yield_for_ever() {
    let told = text(
        |bubble| bubble.patience(PATIENCE),
        async || {
            let other = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            other.await.unwrap();
        },
    );
    assert!(told.starts_with("livelock after 0ns: tasks run without end"), "{told}");
}

#[test]
fn polls_without_end() {
    let told = text(
        |bubble| bubble.poll_budget(500),
        async || {
            sleep(HOUR).await;
            loop {
                yield_now().await;
            }
        },
    );
    let expected = "livelock after 3600s: there were more than 500 polls, the test with no task";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn short_timers_without_end() {
    let told = text(
        |bubble| bubble.move_budget(500),
        async || {
            loop {
                sleep(Duration::from_millis(1)).await;
            }
        },
    );
    let expected =
        "the clock has moved more than 500 times in 501ms, and the test waits with no task";
    assert!(told.starts_with(expected), "{told}");
}

/// Also if the test is not woken meanwhile.
#[test]
fn short_timers_of_a_task_without_end() {
    let told = text(
        |bubble| bubble.move_budget(500),
        async || {
            let other = spawn(async {
                loop {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            other.await.unwrap();
        },
    );
    assert!(told.starts_with("the clock has moved more than 500 times in 501ms"), "{told}");
}

#[test]
fn who_stays_within_the_move_budget_is_let_be() {
    let bubble = Bubble::builder().move_budget(100).build().unwrap();
    let sleeps = async {
        for _ in 0..100 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    bubble.run(sleeps).unwrap();
}

/// What is drawn from a seed is the same, too, up to the failure.
#[test]
fn a_fault_of_a_plan() {
    let told = text(
        |bubble| bubble,
        async || {
            let plan = FaultPlan::seeded(Seed::current().unwrap()).pending(0.5).build().unwrap();
            let mut io = FaultIo::new(&[1_u8; 64][..], plan);
            let mut read = 0;
            while io.read_u8().await.is_ok() {
                read += 1;
                sleep(Duration::from_millis(io.faults().pending)).await;
            }
            assert_eq!(read, 64);
            pending::<()>().await;
        },
    );
    assert!(told.starts_with("deadlock after "), "{told}");
}

#[test]
fn who_stays_within_the_poll_budget_is_let_be() {
    let yields = async {
        for _ in 0..99 {
            yield_now().await;
        }
    };
    let bubble = |polls| Bubble::builder().poll_budget(polls).build().unwrap();
    bubble(100).run(yields).unwrap();
    let failure = bubble(99)
        .run(async {
            for _ in 0..99 {
                yield_now().await;
            }
        })
        .unwrap_err();
    assert!(
        matches!(failure.kind(), FailureKind::OverPolled { budget: 99, tasks: 0, .. }),
        "{failure}"
    );
}

/// Named for the lane of builds with `tokio_unstable`.
#[cfg(tokio_unstable)]
#[test]
fn explore_counts_polls_of_all_tasks() {
    let told = text(
        |bubble| bubble.poll_budget(500),
        async || {
            let other = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            other.await.unwrap();
        },
    );
    let expected = "livelock after 0ns: there were more than 500 polls, the test with 1 task";
    assert!(told.starts_with(expected), "{told}");
}

/// The clock takes a turn of the runtime to find out that a timer has gone off.
#[test]
fn steps_of_the_clock_are_no_polls_of_the_test() {
    let steps = async {
        let ticking = spawn(async {
            for _ in 0..5 {
                sleep(HOUR / 3).await;
            }
        });
        while advance_to_next_timer().await.is_some() {}
        ticking.await.unwrap();
    };
    Bubble::builder().poll_budget(40).build().unwrap().run(steps).unwrap();
}
