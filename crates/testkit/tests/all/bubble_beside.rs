//! Verdicts in spite of what goes on beside a test, and after it.

use crate::bubble::{HOUR, PATIENCE};
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_testkit::{Bubble, FailureKind, Mode, bubble, settle};
use tokio::{
    sync::{Mutex, Semaphore, oneshot},
    task::{spawn, spawn_blocking, yield_now},
    time::{interval, sleep},
};

/// The last poll, which is to say where it waits, must have an end as well.
#[test]
fn a_test_that_never_waits_is_a_livelock() {
    let failure = Bubble::builder()
        .patience(PATIENCE)
        .build()
        .unwrap()
        .run(async {
            let permits = Semaphore::new(1);
            loop {
                drop(permits.acquire().await.unwrap());
            }
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Livelock { .. }), "{failure}");
}

/// The clock stands while the blocking pool works, and the runtime wakes for the timers all the
/// same, again and again.
#[test]
fn timers_beside_blocking_work_that_hangs_are_no_progress() {
    let (held, hears) = std::sync::mpsc::sync_channel::<()>(0);
    let failure = Bubble::builder()
        .patience(PATIENCE)
        .build()
        .unwrap()
        .run(async {
            let work = spawn_blocking(move || hears.recv());
            let mut ticks = interval(PATIENCE / 4);
            let ticking = spawn(async move {
                loop {
                    ticks.tick().await;
                }
            });
            work.await.unwrap().unwrap_err();
            ticking.abort();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Waits { .. }), "{failure}");
    drop(held);
}

#[test]
fn settling_for_ever_is_no_progress() {
    let forever = async {
        loop {
            settle().await;
        }
    };
    let failure = Bubble::builder().patience(PATIENCE).build().unwrap().run(forever).unwrap_err();
    let is_stuck =
        matches!(failure.kind(), FailureKind::Livelock { .. } | FailureKind::Waits { .. });
    assert!(is_stuck, "{failure}");
}

#[test]
fn a_heartbeat_beside_a_test_that_is_stuck_is_no_progress() {
    let failure = Bubble::builder()
        .mode(Mode::RealIo)
        .patience(PATIENCE)
        .build()
        .unwrap()
        .run(async {
            let heartbeat = spawn(async {
                loop {
                    sleep(PATIENCE / 10).await;
                }
            });
            pending::<()>().await;
            heartbeat.abort();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Waits { .. }), "{failure}");
}

#[test]
fn a_grace_ends_with_the_patience() {
    let leaky = async { drop(spawn(pending::<()>())) };
    let failure =
        Bubble::builder().patience(PATIENCE).grace(HOUR).build().unwrap().run(leaky).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Leaked(_)), "{failure}");
}

/// A clock that stands lets no grace run out.
#[test]
fn a_grace_ends_beside_blocking_work_that_hangs() {
    let (held, hears) = std::sync::mpsc::sync_channel::<()>(0);
    let leaky = async move {
        drop(spawn(pending::<()>()));
        drop(spawn_blocking(move || hears.recv()));
    };
    let grace = Duration::from_millis(50);
    let failure =
        Bubble::builder().patience(PATIENCE).grace(grace).build().unwrap().run(leaky).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Leaked(_)), "{failure}");
    drop(held);
}

#[test]
fn a_task_that_can_end_at_once_is_no_leak_in_real_time() {
    Bubble::builder()
        .mode(Mode::RealIo)
        .build()
        .unwrap()
        .run(async { drop(spawn(async {})) })
        .unwrap();
}

#[test]
fn a_deadlock_tells_of_the_panic_that_led_to_it() {
    let failure = Bubble::new()
        .run(async {
            let (tell, told) = oneshot::channel::<()>();
            let keep = Arc::new(Mutex::new(Some(tell)));
            let server = Arc::clone(&keep);
            drop(spawn(async move {
                let _tell = server.lock().await;
                panic!("the root of it");
            }));
            told.await.unwrap();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Deadlock { .. }), "{failure}");
    assert!(failure.panics()[0].ends_with(": the root of it"), "{failure}");
    assert!(failure.to_string().contains("a task panicked at "), "{failure}");
}

/// Its destructor is run where the test was.
#[test]
fn a_stuck_test_may_spawn_when_it_is_dropped() {
    struct Spawns;
    impl Drop for Spawns {
        fn drop(&mut self) {
            drop(spawn(async {}));
        }
    }
    let failure = Bubble::new()
        .run(async {
            let _spawns = Spawns;
            pending::<()>().await;
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Deadlock { .. }), "{failure}");
}

/// Woken beside something else, it goes on settling.
#[test]
fn settling_beside_others_settles() {
    bubble(async {
        let task = spawn(async {
            for _ in 0..100 {
                yield_now().await;
            }
        });
        tokio::join!(settle(), yield_now());
        assert!(task.is_finished());
    });
}

#[test]
fn a_timer_of_a_task_is_no_deadlock_however_far_away() {
    let far = async {
        let task = spawn(async {
            sleep(HOUR * 24 * 200).await;
            sleep(HOUR * 24 * 200).await;
        });
        task.await.unwrap();
    };
    Bubble::builder().virtual_budget(Duration::MAX).build().unwrap().run(far).unwrap();
    let failure = Bubble::new().run(async { sleep(HOUR * 24 * 400).await }).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::OverBudget { .. }), "{failure}");
}

#[test]
fn a_bubble_in_a_bubble_leaves_it_as_it_was() {
    bubble(async {
        let nested = catch_unwind(AssertUnwindSafe(|| bubble(async {})));
        assert!(nested.is_err(), "a runtime within a runtime");
        settle().await;
        // On another thread it is one of its own.
        spawn_blocking(|| bubble(settle())).await.unwrap();
    });
}

#[test]
fn a_panic_of_the_test_is_not_held_up_by_blocking_work() {
    let (is_over, over) = std::sync::mpsc::channel::<()>();
    let has_ended = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&has_ended);
    let panics = async move {
        let (begins, begun) = oneshot::channel();
        drop(spawn_blocking(move || {
            begins.send(()).unwrap();
            let _ = over.recv_timeout(Duration::from_secs(20));
            ends.store(true, SeqCst);
        }));
        begun.await.unwrap();
        panic!("the test fails");
    };
    let panic = catch_unwind(AssertUnwindSafe(|| Bubble::new().run(panics))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the test fails"));
    assert!(!has_ended.load(SeqCst), "it was waited for");
    drop(is_over);
}

/// A task whose destructor takes a while.
fn spawn_with_slow_drop(time: Duration) {
    struct SlowDrop(Duration);
    impl Drop for SlowDrop {
        fn drop(&mut self) {
            std::thread::sleep(self.0);
        }
    }
    let slow = SlowDrop(time);
    drop(spawn(async move {
        let _slow = slow;
        pending::<()>().await;
    }));
}

#[test]
fn slow_destructors_are_no_blocking_work() {
    let bubble = Bubble::builder().patience(PATIENCE).allow_tasks(1).build().unwrap();
    bubble.run(async { spawn_with_slow_drop(PATIENCE * 11 / 10) }).unwrap();
}

/// Each of these takes less than the patience; together they take more than twice that, after which
/// the watchdog ends the process.
#[test]
fn the_end_has_a_patience_of_its_own() {
    let (held, hears) = std::sync::mpsc::channel::<()>();
    let bubble = Bubble::builder().patience(PATIENCE).allow_tasks(1).build().unwrap();
    let slow = async move {
        spawn_with_slow_drop(PATIENCE * 4 / 10);
        drop(spawn_blocking(move || hears.recv()));
        std::thread::sleep(PATIENCE * 9 / 10);
    };
    let failure = bubble.run(slow).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::BlockingLeft { .. }), "{failure}");
    drop(held);
}
