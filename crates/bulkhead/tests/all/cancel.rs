//! Dropped at each await, and on the way out.

use crate::{SECOND, assert_idle, bulkhead, end, poll, waiter};
use std::time::Duration;
use tidegate_bulkhead::{Ask, Bulkhead, Permit, Priority};
use tidegate_testkit::cancel_everywhere;
use tokio::time::{Instant, sleep};

/// Full, and emptied in a second.
fn full() -> (Bulkhead, std::cell::RefCell<Option<Permit>>) {
    let bulkhead = bulkhead(3);
    let permit = bulkhead.try_acquire_many(3).unwrap();
    (bulkhead, Some(permit).into())
}

type Full = (Bulkhead, std::cell::RefCell<Option<Permit>>);

async fn is_as_before((bulkhead, permit): &Full, point: impl std::fmt::Display) {
    drop(permit.take());
    let stats = bulkhead.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.queued), (0, 0, 0), "{point}");
    drop(bulkhead.acquire_many(3).await.unwrap());
    assert_idle(bulkhead);
}

#[test]
fn acquire_gives_up_everything_at_every_await() {
    cancel_everywhere(
        full,
        async |(bulkhead, permit): &Full| {
            let release = async {
                sleep(SECOND).await;
                drop(permit.take());
            };
            let ((), first) = tokio::join!(release, bulkhead.acquire());
            let second = bulkhead.acquire_within(1, SECOND).await.unwrap();
            let deadline = Instant::now() + SECOND;
            let third = bulkhead.acquire_until(1, deadline).await.unwrap();
            let late = Ask::new(3).priority(Priority::High).within(SECOND);
            bulkhead.acquire_with(late).await.unwrap_err();
            drop((first, second, third));
        },
        async |full: &Full, point| is_as_before(full, point).await,
    )
    .assert_covered(6);
}

#[test]
fn waiting_for_a_drain_gives_up_everything_at_every_await() {
    cancel_everywhere(
        full,
        async |(bulkhead, permit): &Full| {
            let release = async {
                sleep(SECOND).await;
                drop(permit.take());
            };
            tokio::join!(release, bulkhead.drained());
        },
        async |full: &Full, point| is_as_before(full, point).await,
    )
    .assert_covered(2);
}

/// It was let in and woken, but not polled again. failsafe-go 0.9.2 lost such permits.
#[test]
fn what_was_taken_for_who_gives_up_goes_to_the_next() {
    let bulkhead = bulkhead(2);
    let permit = bulkhead.try_acquire_many(2).unwrap();
    let quitter = waiter(&bulkhead, 2);
    let mut next = waiter(&bulkhead, 1);
    drop(permit);
    assert_eq!(bulkhead.stats().entered, 1);
    drop(quitter);
    assert_eq!(end(&mut next).unwrap().weight(), 1);
    let stats = bulkhead.stats();
    assert_eq!((stats.waited, stats.entered, stats.cancelled), (2, 1, 1));
    assert_idle(&bulkhead);
}

/// The first wanted much: those behind it need not wait for that any more.
#[test]
fn those_behind_move_up_when_the_first_gives_up() {
    let bulkhead = bulkhead(3);
    let permit = bulkhead.try_acquire_many(2).unwrap();
    let large = waiter(&bulkhead, 3);
    let mut small = waiter(&bulkhead, 1);
    drop(large);
    let small = end(&mut small).unwrap();
    drop((small, permit));
    assert_idle(&bulkhead);
}

/// One that was never polled has no place.
#[test]
fn one_that_was_not_polled_leaves_nothing() {
    let bulkhead = bulkhead(1);
    let permit = bulkhead.try_acquire().unwrap();
    drop(bulkhead.acquire());
    drop(permit);
    assert_idle(&bulkhead);
}

/// Dropped by something that is no task, on a thread without a runtime, as its permits are.
#[test]
fn permits_and_waiters_are_dropped_outside_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let bulkhead = Bulkhead::builder(1).max_wait(SECOND).build().unwrap();
    let (permit, waits) = runtime.block_on(async {
        let permit = bulkhead.acquire().await.unwrap();
        (permit, waiter(&bulkhead, 1))
    });
    let unbounded = crate::bulkhead(1);
    let held = unbounded.try_acquire().unwrap();
    // Without a bound on the wait there is no timer, and no need of a runtime.
    let mut other = waiter(&unbounded, 1);
    drop(runtime);
    drop(waits);
    std::thread::scope(|scope| drop(scope.spawn(move || drop((permit, held)))));
    assert!(end(&mut other).is_ok());
    drop(other);
    assert_idle(&bulkhead);
    assert_idle(&unbounded);
}

#[test]
fn a_panic_while_holding_gives_the_permits_back() {
    let bulkhead = bulkhead(2);
    let other = bulkhead.clone();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _permit = other.try_acquire_many(2).unwrap();
        let _waits = waiter(&other, 1);
        std::panic::resume_unwind(Box::new("a panic while holding"));
    }));
    assert!(panicked.is_err());
    assert_idle(&bulkhead);
}

/// A task that is aborted while it holds, and one while it waits.
#[tidegate_testkit::test]
async fn aborted_tasks_give_everything_back() {
    let bulkhead = bulkhead(1);
    let tasks = [(); 2].map(|()| {
        let bulkhead = bulkhead.clone();
        tokio::spawn(async move {
            let _permit = bulkhead.acquire().await.unwrap();
            sleep(Duration::from_secs(100)).await;
        })
    });
    tidegate_testkit::settle().await;
    assert_eq!((bulkhead.in_use(), bulkhead.stats().waiting), (1, 1));
    for task in tasks {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    let mut acquire = Box::pin(bulkhead.acquire());
    assert!(poll(acquire.as_mut()).is_ready());
    drop(acquire);
    assert_idle(&bulkhead);
}
