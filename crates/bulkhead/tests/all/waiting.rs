//! How long somebody waits, and how many.

use crate::{SECOND, assert_idle, bulkhead, waiter};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tidegate_bulkhead::{AcquireError, Ask, Bulkhead, CoDel, ConfigError, Priority};
use tidegate_testkit::{advance, settle};
use tokio::time::{Instant, sleep};

#[tidegate_testkit::test]
async fn a_wait_ends_in_time() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    let start = Instant::now();
    let error = bulkhead.acquire_within(1, 2 * SECOND).await.unwrap_err();
    assert_eq!((error, start.elapsed()), (timed_out(2 * SECOND), 2 * SECOND));
    let error = bulkhead.acquire_until(1, start + 3 * SECOND).await.unwrap_err();
    assert_eq!((error, start.elapsed()), (timed_out(SECOND), 3 * SECOND));
    assert_eq!(bulkhead.stats().timed_out, 2);
    drop(permit);
    assert_idle(&bulkhead);
}

fn timed_out(waited: Duration) -> AcquireError {
    AcquireError::TimedOut { waited, retry_after: None }
}

/// Those behind one whose time is over move up at once.
#[tidegate_testkit::test]
async fn who_is_late_does_not_hold_up_those_behind() {
    let bulkhead = bulkhead(2);
    let permit = bulkhead.try_acquire().unwrap();
    let other = bulkhead.clone();
    let large = tokio::spawn(async move { other.acquire_within(2, SECOND).await.map(drop) });
    settle().await;
    let start = Instant::now();
    let small = bulkhead.acquire().await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(large.await.unwrap(), Err(timed_out(SECOND)));
    drop((small, permit));
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn nobody_waits_longer_than_anybody_may() {
    let bulkhead = Bulkhead::builder(1).max_wait(SECOND).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    assert_eq!(bulkhead.acquire().await.unwrap_err(), timed_out(SECOND));
    let error = bulkhead.acquire_within(1, SECOND / 2).await.unwrap_err();
    assert_eq!(error, timed_out(SECOND / 2));
    assert_eq!(bulkhead.acquire_within(1, 9 * SECOND).await.unwrap_err(), timed_out(SECOND));
    drop(permit);
    assert_idle(&bulkhead);
}

/// A permit that comes as the time is over is not lost, whoever has it then.
#[tidegate_testkit::test]
async fn a_permit_at_the_last_moment_is_not_lost() {
    let bulkhead = bulkhead(1);
    for _ in 0..20 {
        let permit = bulkhead.try_acquire().unwrap();
        let release = async {
            sleep(SECOND).await;
            drop(permit);
        };
        let (result, ()) = tokio::join!(bulkhead.acquire_within(1, SECOND), release);
        drop(result);
        assert_idle(&bulkhead);
    }
}

/// Counts how often it is called.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// As many are woken as can enter, once each, and by who polled last.
#[test]
fn only_those_are_woken_who_enter() {
    let bulkhead = bulkhead(3);
    let mut permit = bulkhead.try_acquire_many(3).unwrap();
    let bells = [(); 4].map(|()| Arc::<Bell>::default());
    let rung = || bells.each_ref().map(|bell| bell.0.load(SeqCst));
    let mut waiters = [1, 1, 2].map(|n| Box::pin(bulkhead.acquire_many(n)));
    let wakers = bells.each_ref().map(|bell| Waker::from(Arc::clone(bell)));
    for (waiter, waker) in waiters.iter_mut().zip(&wakers) {
        for _ in 0..3 {
            assert!(waiter.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
    }
    // The first has moved to another task.
    assert!(waiters[0].as_mut().poll(&mut Context::from_waker(&wakers[3])).is_pending());
    drop(permit.split(2));
    assert_eq!(rung(), [0, 1, 0, 1]);
    let entered = waiters.each_mut().map(|waiter| crate::poll(waiter.as_mut()));
    assert_eq!(entered.each_ref().map(Poll::is_ready), [true, true, false]);
    // Permits of none wake nobody, and neither does one too few.
    drop(permit.split(0));
    assert_eq!(rung(), [0, 1, 0, 1]);
}

#[test]
fn no_more_wait_than_may() {
    let bulkhead = Bulkhead::builder(1).max_waiting(2).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let waiters = [(); 2].map(|()| waiter(&bulkhead, 1));
    let full = AcquireError::QueueFull { waiting: 2, retry_after: None };
    assert_eq!(crate::end(&mut Box::pin(bulkhead.acquire())).unwrap_err(), full);
    let mut urgent = Box::pin(bulkhead.acquire_with(Ask::new(1).priority(Priority::High)));
    assert!(crate::poll(urgent.as_mut()).is_pending());
    let [first, mut second] = waiters;
    let displaced = crate::end(&mut second).unwrap_err();
    assert!(matches!(displaced, AcquireError::Displaced { .. }), "{displaced}");
    let stats = bulkhead.stats();
    assert_eq!((stats.waiting, stats.turned_away, stats.displaced), (2, 1, 1));
    drop((first, urgent, permit));
    assert_idle(&bulkhead);

    let none = Bulkhead::builder(1).max_waiting(0).build().unwrap();
    let _permit = crate::end(&mut Box::pin(none.acquire())).unwrap();
    let full = AcquireError::QueueFull { waiting: 0, retry_after: None };
    assert_eq!(crate::end(&mut Box::pin(none.acquire())).unwrap_err(), full);
}

/// Four times as many come as can be served.
#[tidegate_testkit::test(budget = "1h")]
async fn codel_keeps_the_wait_short_under_overload() {
    let run = async |codel: bool| {
        let builder = Bulkhead::builder(1).max_wait(20 * SECOND);
        let builder = if codel { builder.codel(CoDel::default()) } else { builder };
        let bulkhead = builder.build().unwrap();
        let calls: Vec<_> = (0..4000)
            .map(|n| {
                let bulkhead = bulkhead.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_micros(2500) * n).await;
                    let came = Instant::now();
                    let _permit = bulkhead.acquire().await.ok()?;
                    let waited = came.elapsed();
                    sleep(Duration::from_millis(10)).await;
                    Some(waited)
                })
            })
            .collect();
        let mut waits = Vec::new();
        for call in calls {
            waits.extend(call.await.unwrap());
        }
        waits.sort_unstable();
        assert_idle(&bulkhead);
        (waits[waits.len() / 2], bulkhead.stats().shed)
    };
    let (without, shed) = run(false).await;
    assert_eq!(shed, 0);
    let (with, shed) = run(true).await;
    assert!(shed > 1000 && with < without / 2, "{with:?} rather than {without:?}, {shed} shed");
}

#[test]
fn a_time_to_come_back_is_told_where_it_is_known() {
    let hold = Duration::from_millis(100);
    let bulkhead = Bulkhead::builder(4).typical_hold(hold).max_waiting(1).build().unwrap();
    let _permit = bulkhead.try_acquire_many(4).unwrap();
    let error = bulkhead.try_acquire().unwrap_err();
    assert_eq!(error.retry_after(), Some(hold / 4));
    assert_eq!(bulkhead.try_acquire_many(4).unwrap_err().retry_after(), Some(hold));
    let _waits = waiter(&bulkhead, 3);
    assert_eq!(bulkhead.try_acquire().unwrap_err().retry_after(), Some(hold));
    let full = crate::end(&mut Box::pin(bulkhead.acquire())).unwrap_err();
    assert_eq!(full.retry_after(), Some(hold));
}

#[tidegate_testkit::test]
async fn the_pace_of_returns_is_learned_while_somebody_waits() {
    let bulkhead = bulkhead(2);
    let mut permit = bulkhead.try_acquire_many(2).unwrap();
    let waiters: Vec<_> = (0..4).map(|_| waiter(&bulkhead, 1)).collect();
    assert_eq!(bulkhead.try_acquire().unwrap_err().retry_after(), None);
    for _ in 0..2 {
        advance(SECOND).await;
        drop(permit.split(1));
    }
    // Two wait, and one comes.
    assert_eq!(bulkhead.try_acquire().unwrap_err().retry_after(), Some(3 * SECOND));
    drop((waiters, permit));
    assert_idle(&bulkhead);
}

#[test]
fn what_cannot_be_kept_to_is_no_bulkhead() {
    let builder = || Bulkhead::builder(1);
    assert_eq!(builder().patience(0).build().unwrap_err(), ConfigError::ZeroPatience);
    let codel = CoDel { interval: Duration::ZERO, ..CoDel::default() };
    assert_eq!(builder().codel(codel).build().unwrap_err(), ConfigError::ZeroInterval);
}
