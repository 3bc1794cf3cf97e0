//! Steps of the clock from timer to timer, against the sorted deadlines.

use crate::bubble::HOUR;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tidegate_testkit::{Bubble, Mode, advance_to_next_timer, bubble, settle};
use tokio::{
    sync::Notify,
    task::{JoinSet, spawn, spawn_blocking, yield_now},
    time::{Instant, interval, sleep, sleep_until},
};

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// What a task does with a timer.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Sleeps(u64),
    /// Armed and polled for the first, then reset to the second, in milliseconds.
    Rearms(u64, u64),
    /// Armed and polled, and dropped.
    Cancels(u64),
    /// One after the other.
    SleepsTwice(u64, u64),
}

fn millis() -> impl Strategy<Value = u64> {
    let hour = 3_600_000_u64;
    prop_oneof![
        1..200_u64,
        1..20_000_u64,
        1..hour,
        (hour..400 * hour),
        Just(64),
        Just(4096),
        Just(262_144)
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        3 => millis().prop_map(Plan::Sleeps),
        1 => (millis(), millis()).prop_map(|(a, b)| Plan::Rearms(a, b)),
        1 => millis().prop_map(Plan::Cancels),
        1 => (millis(), millis()).prop_map(|(a, b)| Plan::SleepsTwice(a, b)),
    ]
}

impl Plan {
    async fn run(self) {
        let ms = Duration::from_millis;
        match self {
            Self::Sleeps(n) => sleep(ms(n)).await,
            Self::Rearms(first, second) => {
                let begun = Instant::now();
                let mut timer = Box::pin(sleep(ms(first)));
                assert!(poll_once(timer.as_mut()).await.is_none());
                timer.as_mut().reset(begun + ms(second));
                timer.await;
            }
            Self::Cancels(n) => {
                assert!(poll_once(Box::pin(sleep(ms(n))).as_mut()).await.is_none());
            }
            Self::SleepsTwice(first, second) => {
                sleep(ms(first)).await;
                sleep(ms(second)).await;
            }
        }
    }

    fn deadlines(self) -> Vec<u64> {
        match self {
            Self::Sleeps(n) | Self::Rearms(_, n) => vec![n],
            Self::Cancels(_) => vec![],
            Self::SleepsTwice(first, second) => vec![first, first + second],
        }
    }
}

/// One poll; none, if it is pending.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    use std::task::Poll;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: u32::try_from(tidegate_testkit::scale(300)).unwrap(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_distinct_deadline_is_one_step(plans in prop::collection::vec(plan(), 0..20)) {
        let expected: BTreeSet<u64> = plans.iter().flat_map(|plan| plan.deadlines()).collect();
        let steps = Bubble::builder().virtual_budget(Duration::MAX).build().unwrap().run(async move {
            let begun = Instant::now();
            let mut tasks: JoinSet<()> = plans.into_iter().map(Plan::run).collect();
            let mut steps = Vec::new();
            while let Some(at) = advance_to_next_timer().await {
                assert_eq!(at, Instant::now());
                steps.push(u64::try_from((at - begun).as_millis()).unwrap());
            }
            while let Some(ended) = tasks.try_join_next() {
                ended.unwrap();
            }
            assert!(tasks.is_empty());
            steps
        });
        prop_assert_eq!(steps.unwrap(), expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn without_a_timer_the_clock_stands() {
    bubble(async {
        let begun = Instant::now();
        for _ in 0..100 {
            assert_eq!(advance_to_next_timer().await, None);
        }
        // Something to do is no timer.
        let busy = spawn(async {
            for _ in 0..1000 {
                yield_now().await;
            }
        });
        assert_eq!(advance_to_next_timer().await, None);
        assert!(busy.is_finished());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

/// The clock stops on the way to it some times, where nothing happens.
#[test]
fn a_timer_that_is_far_away_is_one_step() {
    for days in [1, 17, 100, 364] {
        let far = async {
            let begun = Instant::now();
            let task = spawn(sleep(DAY * days));
            assert_eq!(advance_to_next_timer().await, Some(begun + DAY * days));
            assert!(task.is_finished());
        };
        Bubble::builder().virtual_budget(Duration::MAX).build().unwrap().run(far).unwrap();
    }
}

#[test]
fn a_timer_of_the_test_itself_is_a_step() {
    bubble(async {
        let begun = Instant::now();
        let ((), first) = tokio::join!(sleep(HOUR), advance_to_next_timer());
        assert_eq!(first, Some(begun + HOUR));
    });
}

#[test]
fn a_timer_of_the_task_that_steps_is_a_step() {
    bubble(async {
        let begun = Instant::now();
        let steps = async { tokio::join!(sleep(HOUR), advance_to_next_timer()).1 };
        assert_eq!(spawn(steps).await.unwrap(), Some(begun + HOUR));
    });
}

#[test]
fn two_that_step_at_once_see_one_step() {
    bubble(async {
        let begun = Instant::now();
        let timers = [1, 2].map(|n| spawn(sleep(HOUR * n)));
        let steps = [spawn(advance_to_next_timer()), spawn(advance_to_next_timer())];
        for step in steps {
            assert_eq!(step.await.unwrap(), Some(begun + HOUR));
        }
        assert_eq!(advance_to_next_timer().await, Some(begun + HOUR * 2));
        assert!(timers.iter().all(tokio::task::JoinHandle::is_finished));
    });
}

/// More of them than the runtime polls in one turn, and each wakes another.
#[test]
fn what_a_timer_wakes_goes_on_before_the_step_is_over() {
    bubble(async {
        let ended = Arc::new(AtomicUsize::new(0));
        let tasks: JoinSet<()> = (0..500)
            .map(|_| {
                let ended = Arc::clone(&ended);
                async move {
                    sleep(HOUR).await;
                    spawn(yield_now()).await.unwrap();
                    ended.fetch_add(1, Relaxed);
                }
            })
            .collect();
        advance_to_next_timer().await.unwrap();
        assert_eq!(ended.load(Relaxed), 500);
        tasks.join_all().await;
    });
}

#[test]
fn ticks_are_steps() {
    bubble(async {
        let begun = Instant::now();
        let ticking = spawn(async {
            let mut ticks = interval(Duration::from_secs(90));
            loop {
                ticks.tick().await;
            }
        });
        for n in 1..=50 {
            assert_eq!(advance_to_next_timer().await, Some(begun + Duration::from_secs(90) * n));
        }
        ticking.abort();
    });
}

/// tokio's timers go off at whole milliseconds.
#[test]
fn a_deadline_within_a_millisecond_is_the_end_of_it() {
    bubble(async {
        let begun = Instant::now();
        let task = spawn(sleep_until(begun + MS * 7 + MS / 2));
        assert_eq!(advance_to_next_timer().await, Some(begun + MS * 8));
        assert!(task.is_finished());
    });
}

/// The clock stands until it is over, at whatever moment of a step that is.
#[test]
fn blocking_work_is_waited_for_if_there_is_a_timer() {
    for n in 0..tidegate_testkit::scale(100) {
        bubble(async move {
            let begun = Instant::now();
            let timer = spawn(sleep(MS * 2));
            let work = [0, 100, 177].map(|more| {
                let time = Duration::from_micros(n * 37 + more);
                // Nobody sends: it takes so long in real time.
                let (held, wait) = std::sync::mpsc::sync_channel::<()>(0);
                spawn_blocking(move || {
                    wait.recv_timeout(time).unwrap_err();
                    drop(held);
                })
            });
            assert_eq!(advance_to_next_timer().await, Some(begun + MS * 2));
            assert!(timer.is_finished());
            for work in work {
                work.await.unwrap();
            }
        });
    }
}

/// What it leads to may be a timer.
#[test]
fn blocking_work_is_waited_for_if_there_is_no_timer() {
    bubble(async {
        let begun = Instant::now();
        let (begin, has_begun) = std::sync::mpsc::sync_channel(1);
        let work = spawn_blocking(move || {
            begin.send(()).unwrap();
            // Nobody sends: it takes so long in real time.
            let (held, wait) = std::sync::mpsc::sync_channel::<()>(0);
            wait.recv_timeout(MS * 20).unwrap_err();
            drop(held);
        });
        has_begun.recv().unwrap();
        let then = spawn(async move {
            work.await.unwrap();
            sleep(HOUR).await;
        });
        assert_eq!(advance_to_next_timer().await, Some(begun + HOUR));
        assert!(then.is_finished());
        assert_eq!(advance_to_next_timer().await, None);
    });
}

#[test]
fn who_gives_up_a_step_leaves_nothing() {
    bubble(async {
        let begun = Instant::now();
        let woken = Arc::new(Notify::new());
        let waker = Arc::clone(&woken);
        let task = spawn(async move { waker.notify_one() });
        tokio::select! {
            biased;
            _ = advance_to_next_timer() => panic!("the other one can go on before"),
            () = woken.notified() => {}
        }
        settle().await;
        assert!(task.is_finished());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(advance_to_next_timer().await, None);
    });
}

#[test]
fn a_real_clock_is_not_moved() {
    let real = Bubble::builder().mode(Mode::RealIo).build().unwrap();
    let moved = catch_unwind(AssertUnwindSafe(|| real.run(advance_to_next_timer())));
    let message = moved.unwrap_err();
    let message = message.downcast_ref::<&str>().unwrap();
    assert!(message.contains("not moved by hand"), "{message}");
}
