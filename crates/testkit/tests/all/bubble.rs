//! Each verdict of a bubble, and that what is right has none.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tidegate_testkit::{
    Bubble, Failure, FailureKind, Mode, Seed, advance, advance_to_next_timer, bubble,
    cancel_everywhere, settle,
};
use tokio::{
    sync::{Barrier, Mutex, Notify, mpsc, oneshot},
    task::{spawn, spawn_blocking, yield_now},
    time::{Instant, interval, sleep, timeout},
};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// For verdicts by real time. A machine that is busy may let a test wait for a while.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Two tasks take two locks in two orders.
async fn ab_ba() {
    let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    let (other_a, other_b, other_both) = (Arc::clone(&a), Arc::clone(&b), Arc::clone(&both));
    let other = spawn(async move {
        let _b = other_b.lock().await;
        other_both.wait().await;
        let _a = other_a.lock().await;
    });
    let _a = a.lock().await;
    both.wait().await;
    let _b = b.lock().await;
    other.await.unwrap();
}

#[test]
fn two_locks_in_two_orders_are_a_deadlock() {
    let failure = Bubble::builder().seed(Seed::new(31)).build().unwrap().run(ab_ba()).unwrap_err();
    assert_eq!(format!("{failure:?}"), failure.to_string(), "what `unwrap` shows");
    let FailureKind::Deadlock { elapsed, tasks } = failure.kind() else { panic!("{failure}") };
    assert_eq!((*elapsed, *tasks), (Duration::ZERO, 1));
    let text = failure.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "deadlock after 0ns: the test waits with 1 task beside it, nobody can go on, and no \
         timer is armed"
    );
    assert_eq!(lines[1], "the test waits at");
    assert!(lines[2].contains("tests/all/bubble.rs:"), "{text}");
    let flags = if cfg!(tokio_unstable) { "RUSTFLAGS=\"--cfg tokio_unstable\" " } else { "" };
    let again = format!(
        "run it again: {flags}TIDEGATE_SEED=0x000000000000001f cargo test -p tidegate-testkit \
         --test all -- --exact bubble::two_locks_in_two_orders_are_a_deadlock"
    );
    assert_eq!(*lines.last().unwrap(), again);
}

#[test]
fn the_same_failure_has_the_same_text() {
    let text = || {
        Bubble::builder().seed(Seed::new(7)).build().unwrap().run(ab_ba()).unwrap_err().to_string()
    };
    assert_eq!(text(), text());
}

/// What `unwrap` prints is made for people.
#[test]
fn a_failure_is_debugged_as_its_text() {
    let failure = Bubble::new().run(ab_ba()).unwrap_err();
    assert!(failure.to_string().lines().count() > 1, "{failure}");
    assert_eq!(format!("{failure:?}"), failure.to_string());
    let left = Bubble::new().run(async { drop(spawn(pending::<()>())) }).unwrap_err();
    assert_eq!(format!("{left:?}"), left.to_string());
    let FailureKind::Leaked(leak) = left.kind() else { panic!("{left}") };
    assert_eq!(format!("{leak:?}"), leak.to_string());
}

#[test]
fn a_deadlock_tells_how_far_the_clock_had_moved() {
    let failure = Bubble::new()
        .run(async {
            sleep(Duration::from_secs(5)).await;
            pending::<()>().await;
        })
        .unwrap_err();
    let FailureKind::Deadlock { elapsed, tasks } = failure.kind() else { panic!("{failure}") };
    assert_eq!((*elapsed, *tasks), (Duration::from_secs(5), 0));
    assert!(failure.places().is_empty(), "nothing of tokio's: {failure}");
}

#[test]
fn a_message_that_nobody_sends_is_a_deadlock() {
    let failure = Bubble::new()
        .run(async {
            let (held, mut messages) = mpsc::channel::<()>(1);
            let heard = messages.recv().await;
            drop(held);
            heard
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Deadlock { .. }), "{failure}");
    assert!(failure.places()[0].contains("bubble.rs"), "{failure}");
}

#[test]
fn a_notification_that_came_too_early_is_a_deadlock() {
    let failure = Bubble::new()
        .run(async {
            let told = Notify::new();
            // It wakes those who wait already: nobody.
            told.notify_waiters();
            told.notified().await;
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Deadlock { .. }), "{failure}");
    assert!(failure.places()[0].contains("bubble.rs"), "{failure}");
}

/// The sentinel of a bubble is not before any timer of a test that has enough of a budget.
#[test]
fn a_timer_is_no_deadlock_however_far_away() {
    for days in [300, 365, 366, 2 * 365, 2 * 366] {
        let test = async { sleep(HOUR * 24 * days).await };
        Bubble::builder().virtual_budget(Duration::MAX).build().unwrap().run(test).unwrap();
        let failure = Bubble::new().run(async { sleep(HOUR * 24 * days).await }).unwrap_err();
        let is_over = matches!(failure.kind(), FailureKind::OverBudget { .. });
        assert!(is_over, "{days} days: {failure}");
    }
}

#[test]
fn timers_that_fire_for_ever_pass_the_budget() {
    let failure = Bubble::builder()
        .virtual_budget(HOUR)
        .build()
        .unwrap()
        .run(async {
            let mut ticks = interval(Duration::from_secs(60));
            loop {
                ticks.tick().await;
            }
        })
        .unwrap_err();
    let FailureKind::OverBudget { budget, .. } = failure.kind() else { panic!("{failure}") };
    assert_eq!(*budget, HOUR);
}

/// The test itself is not woken by any of them.
#[test]
fn timers_of_a_task_that_fire_for_ever_pass_the_budget() {
    let failure = Bubble::builder()
        .virtual_budget(HOUR)
        .build()
        .unwrap()
        .run(async {
            let ticking = spawn(async {
                let mut ticks = interval(Duration::from_secs(60));
                loop {
                    ticks.tick().await;
                }
            });
            ticking.await.unwrap();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::OverBudget { tasks: 1, .. }), "{failure}");
}

#[test]
fn who_stays_within_the_budget_is_let_be() {
    Bubble::builder()
        .virtual_budget(HOUR)
        .build()
        .unwrap()
        .run(async { sleep(HOUR).await })
        .unwrap();
}

#[test]
fn tasks_that_yield_for_ever_are_a_livelock() {
    let failure = Bubble::builder()
        .patience(PATIENCE)
        .build()
        .unwrap()
        .run(async {
            sleep(HOUR).await;
            let other = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            other.await.unwrap();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Livelock { tasks: 1, .. }), "{failure}");
}

/// tokio's clock stands while its blocking pool works, so no timer says that nobody goes on.
#[test]
fn blocking_work_that_waits_for_the_test_is_found() {
    let (held, hears) = std::sync::mpsc::sync_channel::<()>(0);
    let failure = Bubble::builder()
        .patience(PATIENCE)
        .build()
        .unwrap()
        .run(async {
            let work = spawn_blocking(move || hears.recv());
            // In vain: it is dropped after it was awaited.
            work.await.unwrap().unwrap_err();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Waits { .. }), "{failure}");
    drop(held);
}

#[test]
fn blocking_work_that_is_left_is_found() {
    let (held, hears) = std::sync::mpsc::sync_channel::<()>(0);
    let failure = Bubble::builder()
        .patience(PATIENCE)
        .allow_tasks(1)
        .build()
        .unwrap()
        .run(async {
            drop(spawn_blocking(move || hears.recv()));
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::BlockingLeft { .. }), "{failure}");
    drop(held);
}

const CHILD: &str = "TIDEGATE_BUBBLE_CHILD";

/// Run as a process of its own by the test below.
#[test]
fn one_poll_that_does_not_return() {
    if std::env::var_os(CHILD).is_some() {
        let hangs = async {
            spawn(async {
                loop {
                    std::thread::park();
                }
            });
            pending::<()>().await;
        };
        Bubble::builder().patience(PATIENCE).build().unwrap().run(hangs).unwrap();
    }
}

#[test]
fn one_poll_that_does_not_return_ends_the_process_with_a_word() {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};
    let test = "bubble::one_poll_that_does_not_return";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(6), "{child:?}");
    let told = String::from_utf8(child.stderr).unwrap();
    let expected = format!("{test}: one poll, of the test or of a task, has not returned for 1s");
    assert!(told.contains(&expected), "{told}");
}

#[test]
fn a_task_left_behind_is_found_and_may_be_allowed() {
    let leaky = || async { drop(spawn(pending::<()>())) };
    let failure = Bubble::new().run(leaky()).unwrap_err();
    let FailureKind::Leaked(leak) = failure.kind() else { panic!("{failure}") };
    assert_eq!(leak.tasks(), 1);
    assert!(failure.to_string().starts_with("the test has returned, and has left behind: 1 task"));
    Bubble::builder().allow_tasks(1).build().unwrap().run(leaky()).unwrap();
}

#[test]
fn a_task_that_can_end_at_once_is_no_leak() {
    let quick = async {
        drop(spawn(async {
            for _ in 0..100 {
                yield_now().await;
            }
        }));
    };
    Bubble::new().run(quick).unwrap();
}

#[test]
fn a_task_that_needs_time_has_the_grace() {
    let slow = || async { drop(spawn(sleep(Duration::from_secs(1)))) };
    let failure = Bubble::new().run(slow()).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Leaked(_)), "{failure}");
    // Both clocks count, and the real one is not to wait for a second here.
    let brief = async { drop(spawn(sleep(Duration::from_millis(20)))) };
    Bubble::builder().grace(Duration::from_millis(50)).build().unwrap().run(brief).unwrap();
}

#[test]
fn a_panic_of_a_task_that_nobody_awaits_is_found() {
    let detached = || async {
        drop(spawn(async { panic!("nobody hears this") }));
        settle().await;
    };
    let failure = Bubble::new().run(detached()).unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Panicked), "{failure}");
    let panics = failure.panics();
    assert_eq!(panics.len(), 1, "{failure}");
    assert!(panics[0].contains("bubble.rs:"), "{failure}");
    assert!(panics[0].ends_with(": nobody hears this"), "{failure}");
    Bubble::builder().allow_panics().build().unwrap().run(detached()).unwrap();
}

#[test]
fn a_panic_of_blocking_work_is_found() {
    let failure = Bubble::new()
        .run(async {
            let work = spawn_blocking(|| panic!("on a thread"));
            assert!(work.await.is_err());
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Panicked), "{failure}");
}

#[test]
fn a_panic_that_the_task_catches_is_its_own() {
    let caught = async {
        let task = spawn(async { catch_unwind(|| panic!("caught")).is_err() });
        assert!(task.await.unwrap());
    };
    Bubble::new().run(caught).unwrap();
}

#[test]
fn a_panic_of_the_test_goes_on() {
    let panicked = catch_unwind(AssertUnwindSafe(|| Bubble::new().run(async { panic!("mine") })));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"mine"));
    // The next one on this thread is as if nothing had been.
    bubble(settle());
}

#[test]
fn what_is_right_has_no_verdict() {
    let value = bubble(async {
        let begun = Instant::now();
        let (ask, asked) = oneshot::channel();
        let server = spawn(async move {
            sleep(HOUR).await;
            ask.send(42).unwrap();
        });
        let value = timeout(HOUR * 2, asked).await.unwrap().unwrap();
        server.await.unwrap();
        assert_eq!(spawn_blocking(|| 7).await.unwrap(), 7);
        assert_eq!(begun.elapsed(), HOUR);
        value
    });
    assert_eq!(value, 42);
}

#[test]
fn settling_moves_no_clock() {
    bubble(async {
        let begun = Instant::now();
        let timer = spawn(sleep(Duration::from_millis(1)));
        let chain = spawn(async {
            for _ in 0..1000 {
                spawn(yield_now()).await.unwrap();
            }
        });
        settle().await;
        assert!(chain.is_finished() && !timer.is_finished());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // From a task as well, and from two at once.
        let both = [spawn(settle()), spawn(settle())];
        for task in both {
            task.await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        timer.await.unwrap();
    });
}

#[test]
fn the_clock_is_moved_by_hand() {
    bubble(async {
        let begun = Instant::now();
        let timers = [3, 3, 7].map(|secs| spawn(sleep(Duration::from_secs(secs))));
        let finished = || timers.iter().filter(|timer| timer.is_finished()).count();
        advance(Duration::from_millis(2_999)).await;
        assert_eq!(finished(), 0);
        advance(Duration::from_millis(1)).await;
        assert_eq!(finished(), 2);
        advance(Duration::from_secs(4)).await;
        assert_eq!(finished(), 3);
        assert_eq!(begun.elapsed(), Duration::from_secs(7));
    });
}

/// Dropped after every number of polls, whether or not it would have been ready.
#[test]
fn what_waits_for_the_bubble_may_be_dropped() {
    let settled = cancel_everywhere(
        || (),
        async |()| {
            let busy = spawn(async {
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            settle().await;
            busy.await.unwrap();
        },
        async |(), point| {
            let begun = Instant::now();
            settle().await;
            assert_eq!(begun.elapsed(), Duration::ZERO, "{point}");
        },
    );
    settled.assert_covered(1);
    let advanced = cancel_everywhere(
        Instant::now,
        async |_| advance(Duration::from_secs(3)).await,
        async |begun, point| {
            let moved = begun.elapsed();
            assert!([0, 3].map(Duration::from_secs).contains(&moved), "{point}: {moved:?}");
            // The clock can be moved on as before.
            advance(Duration::from_secs(4)).await;
            assert_eq!(begun.elapsed(), moved + Duration::from_secs(4), "{point}");
        },
    );
    advanced.assert_covered(2);
    let stepped = cancel_everywhere(
        Instant::now,
        async |begun| {
            let timer = spawn(sleep(Duration::from_secs(3)));
            let next = advance_to_next_timer().await;
            assert_eq!(next, Some(*begun + Duration::from_secs(3)));
            timer.await.unwrap();
        },
        async |begun, point| {
            // The timer is still there, or has gone off.
            assert!(advance_to_next_timer().await.is_none_or(|next| next == Instant::now()));
            let moved = begun.elapsed();
            assert!([0, 3].map(Duration::from_secs).contains(&moved), "{point}: {moved:?}");
        },
    );
    stepped.assert_covered(1);
}

#[test]
fn settling_outside_a_bubble_says_so() {
    bubble(settle());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let settled = catch_unwind(AssertUnwindSafe(|| runtime.block_on(settle())));
    let message = settled.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("it is called in a bubble"), "{message}");
}

#[test]
fn real_io_waits_for_sockets() {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    let echo = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4];
            socket.read_exact(&mut bytes).await.unwrap();
            socket.write_all(&bytes).await.unwrap();
        });
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        socket.read_exact(&mut bytes).await.unwrap();
        server.await.unwrap();
        bytes
    };
    assert_eq!(Bubble::builder().mode(Mode::RealIo).build().unwrap().run(echo).unwrap(), *b"ping");
}

#[test]
fn real_io_that_does_not_come_is_found() {
    use tokio::{io::AsyncReadExt as _, net::UnixStream};
    let silent = async {
        let (mut one, _other) = UnixStream::pair().unwrap();
        one.read_u8().await.unwrap();
    };
    let silent =
        Bubble::builder().mode(Mode::RealIo).patience(PATIENCE).build().unwrap().run(silent);
    let failure: Failure = silent.unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Waits { .. }), "{failure}");
    assert!(failure.places()[0].contains("bubble.rs"), "{failure}");
}
