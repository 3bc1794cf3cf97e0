//! Who waits is served in time, and by nobody's leave.

use crate::{SECOND, manual, poll};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tidegate_ratelimit::{AcquireError, Clock, ManualClock, Rate, RateLimiter, clock::Timer};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, advance},
};

#[tidegate_testkit::test]
async fn tokens_come_back_at_the_rate() {
    let limiter = RateLimiter::builder(Rate::per_second(10)).burst(3).build().unwrap();
    let start = Instant::now();
    for _ in 0..13 {
        limiter.acquire(1).await.unwrap();
    }
    assert_eq!(start.elapsed(), SECOND);
}

/// The task that waits second is the one that would have to poll the first.
#[tidegate_testkit::test]
async fn a_waiter_that_is_not_polled_holds_up_nobody() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut first = pin!(limiter.acquire(1));
    assert!(poll(first.as_mut()).is_pending());
    limiter.acquire(1).await.unwrap();
    assert!(matches!(poll(first.as_mut()), Poll::Ready(Ok(_))), "it was served, too");
}

/// governor: a request for ten got nothing as long as others asked for one each.
#[tidegate_testkit::test]
async fn a_large_request_is_not_starved_by_small_ones() {
    let limiter = RateLimiter::builder(Rate::per_second(10)).burst(10).build().unwrap();
    limiter.try_acquire(10).unwrap();
    let start = Instant::now();
    let mut small = JoinSet::new();
    for _ in 0..20 {
        let limiter = limiter.clone();
        small.spawn(async move {
            loop {
                limiter.acquire(1).await.unwrap();
            }
        });
    }
    yield_now().await;
    limiter.acquire(10).await.unwrap();
    assert!(start.elapsed() <= 3 * SECOND, "twenty ahead of it, and its own ten");
    small.shutdown().await;
}

/// axum and others put limiters into statics: what waits on one runtime has a timer there.
#[tidegate_testkit::test]
async fn all_who_wait_are_served_by_one_timer() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let limiter = limiter.clone();
        tasks.spawn(async move { limiter.acquire(1).await.unwrap().cost() });
    }
    yield_now().await;
    for served in 1..=100 {
        // A clock that is moved by a second wakes whose timers are due by then.
        advance(SECOND).await;
        while limiter.stats().served < served {
            yield_now().await;
        }
        assert_eq!(limiter.stats().served, served);
    }
    while tasks.join_next().await.is_some() {}
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// No thundering herd: a token wakes the one whose it is.
#[test]
fn a_token_wakes_one_waiter() {
    let (builder, clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let counts: Vec<_> = (0..100).map(|_| Arc::new(Count::default())).collect();
    let mut waiters: Vec<_> = counts.iter().map(|_| Box::pin(limiter.acquire(1))).collect();
    for (waiter, count) in waiters.iter_mut().zip(&counts) {
        let waker = Waker::from(Arc::clone(count));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    for n in 0..100 {
        clock.advance(SECOND);
        let woken: Vec<_> = counts.iter().map(|count| count.0.load(SeqCst)).collect();
        assert_eq!(woken.iter().sum::<usize>(), n + 1);
        assert_eq!(woken[n], 1);
        assert!(poll(waiters[n].as_mut()).is_ready());
    }
}

/// A burst that has come back at once serves as many as it can, in one go.
#[test]
fn a_jump_of_the_clock_serves_all_whose_time_has_come() {
    let (builder, clock) = manual();
    let limiter = builder.burst(5).build().unwrap();
    limiter.try_acquire(5).unwrap();
    let mut waiters: Vec<_> = (0..7).map(|_| Box::pin(limiter.acquire(1))).collect();
    assert!(waiters.iter_mut().all(|waiter| poll(waiter.as_mut()).is_pending()));
    clock.advance(100 * SECOND);
    let passed = waiters.iter_mut().filter_map(|waiter| match poll(waiter.as_mut()) {
        Poll::Ready(Ok(_)) => Some(()),
        _ => None,
    });
    assert_eq!(passed.count(), 5, "not more than a burst, however long nobody looked");
}

#[tidegate_testkit::test]
async fn who_would_be_too_late_fails_at_once() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let start = Instant::now();
    let error = limiter.acquire_within(1, Duration::from_nanos(999_999_999)).await.unwrap_err();
    assert!(matches!(error, AcquireError::TooLate { retry_after: SECOND, .. }), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO, "nothing was waited for");
    limiter.acquire_until(1, start + SECOND).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}

/// A deadline is a time, whenever the future comes to be polled.
#[tidegate_testkit::test]
async fn a_deadline_does_not_move_with_the_first_poll() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).build().unwrap();
    let late = limiter.acquire_until(1, Instant::now() + SECOND);
    advance(5 * SECOND).await;
    limiter.try_acquire(1).unwrap();
    let expected = AcquireError::TooLate { retry_after: SECOND, allowed: Duration::ZERO };
    assert_eq!(late.await.unwrap_err(), expected);
}

#[tidegate_testkit::test]
async fn those_ahead_count_against_a_deadline() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(2).build().unwrap();
    limiter.try_acquire(2).unwrap();
    let mut ahead = pin!(limiter.acquire(2));
    assert!(poll(ahead.as_mut()).is_pending());
    let error = limiter.acquire_within(1, 2 * SECOND).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(3 * SECOND));
    limiter.acquire_within(1, 3 * SECOND).await.unwrap();
    ahead.await.unwrap();
}

#[tidegate_testkit::test]
async fn as_many_wait_as_may() {
    let limiter =
        RateLimiter::builder(Rate::per_second(1)).burst(1).max_waiters(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut first = pin!(limiter.acquire(1));
    assert!(poll(first.as_mut()).is_pending());
    let error = limiter.acquire(1).await.unwrap_err();
    let expected = AcquireError::Full { waiting: 1, retry_after: 2 * SECOND };
    assert_eq!(error, expected);
    first.await.unwrap();
    assert_eq!(limiter.stats().turned_away, 1);
}

/// A future that is never polled takes no place.
#[test]
fn a_future_does_nothing_before_it_is_polled() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    let idle = limiter.acquire(1);
    limiter.try_acquire(1).unwrap();
    drop(idle);
    assert_eq!(limiter.stats().waiting, 0);
}

/// A task that always finds tokens lets others run now and then.
#[tidegate_testkit::test]
async fn a_loop_that_never_waits_yields() {
    let limiter = RateLimiter::builder(Rate::UNLIMITED).build().unwrap();
    let busy = {
        let limiter = limiter.clone();
        tokio::spawn(async move {
            loop {
                limiter.acquire(1).await.unwrap();
            }
        })
    };
    // On one thread the task has it until it yields.
    yield_now().await;
    yield_now().await;
    busy.abort();
    assert!(busy.await.unwrap_err().is_cancelled());
}

/// A clock that was set to the end of time has no time at which anybody could be served.
#[test]
fn nobody_is_waited_for_after_the_end_of_time() {
    let (builder, clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    clock.advance(Duration::MAX);
    limiter.try_acquire(1).unwrap();
    let mut waits = pin!(limiter.acquire(1));
    assert!(poll(waits.as_mut()).is_pending(), "and it returns");
}

/// Panics when its fuse says so.
struct Fused(ManualClock, Arc<AtomicBool>);

impl Clock for Fused {
    type Timer = <ManualClock as Clock>::Timer;

    fn now(&self) -> u64 {
        assert!(!self.1.swap(false, SeqCst), "a clock that panics");
        self.0.now()
    }

    fn timer(&self) -> Self::Timer {
        self.0.timer()
    }
}

#[test]
fn a_clock_that_panics_once_is_not_the_end_of_the_line() {
    let (clock, fuse) = (ManualClock::new(), Arc::new(AtomicBool::new(false)));
    let limiter = RateLimiter::builder(Rate::per_second(1))
        .burst(1)
        .clock(Fused(clock.clone(), Arc::clone(&fuse)))
        .build()
        .unwrap();
    limiter.try_acquire(1).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut waits = pin!(limiter.acquire(1));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    fuse.store(true, SeqCst);
    let _ = catch_unwind(AssertUnwindSafe(|| clock.advance(SECOND / 2)));
    assert!(!fuse.load(SeqCst), "it has panicked");
    // Somebody comes by before the time.
    assert_eq!(limiter.stats().waiting, 1);
    clock.advance(SECOND / 2);
    assert_eq!(count.0.load(SeqCst), 1, "the timer was set");
    assert!(poll(waits.as_mut()).is_ready());
}

/// Others go by a clock that is moved by hand, too.
#[test]
fn a_waker_that_panics_keeps_no_other_from_being_woken() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a foreign waker");
        }
    }

    let (builder, clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    let mut foreign = pin!(clock.timer());
    let waker = Waker::from(Arc::new(Panics));
    assert!(foreign.as_mut().poll_until(1, &mut Context::from_waker(&waker)).is_pending());
    limiter.try_acquire(1).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut waits = pin!(limiter.acquire(1));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    clock.advance(SECOND);
    assert_eq!(count.0.load(SeqCst), 1);
}

/// It would be a permit for nothing, to be refunded.
#[test]
#[should_panic(expected = "only what was taken can be spent")]
fn a_future_that_was_ready_makes_no_second_permit() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    let mut taken = pin!(limiter.acquire(1));
    assert!(poll(taken.as_mut()).is_ready());
    let _ = poll(taken.as_mut());
}

/// What a task has left to be woken by asks the limiter as it is dropped: it would wait for a lock that is held
/// forever.
struct Asks(RateLimiter<ManualClock>);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Asks {
    fn drop(&mut self) {
        assert_eq!(self.0.peek().remaining, 0);
    }
}

#[test]
fn wakers_are_dropped_when_no_lock_is_held() {
    let (builder, clock) = manual();
    let limiter = builder.burst(1).build().unwrap();
    limiter.try_acquire(1).unwrap();
    let mut waiter = pin!(limiter.acquire(1));
    for _ in 0..3 {
        // Each takes the place of the one before, which is the last of its kind.
        let waker = Waker::from(Arc::new(Asks(limiter.clone())));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    clock.advance(SECOND);
    assert!(poll(waiter.as_mut()).is_ready());
}
