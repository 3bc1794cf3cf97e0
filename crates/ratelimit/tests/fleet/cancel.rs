//! Futures that are dropped wherever they can be.

use super::store::{Faulty, Trouble};
use std::{cell::Cell, sync::Arc, time::Duration};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Fallback, FleetLimiter},
};
use tidegate_testkit::{cancel_everywhere, settle};
use tokio::time::{sleep, timeout};

const MS: fn(u64) -> Duration = Duration::from_millis;

type Limiter = FleetLimiter<Arc<Faulty>>;

fn limiter(trouble: Trouble) -> Limiter {
    let store = Faulty::memory(trouble);
    // Nothing comes back within the test.
    FleetLimiter::builder(store, Quota::new(Rate::per_day(1), 10))
        .lease(4)
        .fallback(Fallback::LocalShare { instances: 1 })
        .build()
        .unwrap()
}

/// Whatever was dropped, there are so many tokens.
async fn has(limiter: &Limiter, expected: u64, of: impl std::fmt::Debug) {
    limiter.store().set(Trouble::Nothing);
    settle().await;
    // Longer than any timeout and any delay of a probe.
    sleep(Duration::from_secs(1)).await;
    let mut count = 0;
    while limiter.try_acquire("a", 1).await.is_ok() {
        count += 1;
        sleep(MS(20)).await;
    }
    assert_eq!(count, expected, "{of:?}");
}

const TROUBLES: [Trouble; 4] =
    [Trouble::Nothing, Trouble::Slow(Duration::from_millis(10)), Trouble::Fails, Trouble::Hangs];

fn waits(trouble: Trouble) -> bool {
    matches!(trouble, Trouble::Slow(_) | Trouble::Hangs)
}

#[test]
fn cancel_try_acquire_loses_nothing() {
    for trouble in TROUBLES {
        let report = cancel_everywhere(
            || limiter(trouble),
            async |limiter| drop(limiter.try_acquire("a", 3).await),
            async |limiter, point| has(limiter, 10, (trouble, point)).await,
        );
        report.assert_covered(usize::from(waits(trouble)));
    }
}

#[test]
fn cancel_acquire_loses_nothing() {
    for trouble in TROUBLES {
        // The second one has to wait for what the first has not left.
        cancel_everywhere(
            || (limiter(trouble), Cell::new(0)),
            async |(limiter, spent)| {
                let Ok(permit) = limiter.acquire("a", 8).await else { return };
                spent.set(8);
                let second = limiter.acquire_within("a", 5, Duration::from_secs(86_400 * 10));
                let _ = timeout(MS(300), second).await;
                permit.refund();
            },
            async |(limiter, spent), point| {
                has(limiter, 10 - spent.get(), (trouble, point)).await;
            },
        )
        .assert_covered(1);
    }
}

#[test]
fn cancel_give_back_loses_nothing() {
    for trouble in TROUBLES {
        cancel_everywhere(
            || limiter(Trouble::Nothing),
            async |limiter| {
                drop(limiter.try_acquire("a", 1).await);
                limiter.store().set(trouble);
                limiter.give_back(Duration::ZERO).await;
            },
            async |limiter, point| {
                // What a store that failed was given back is given up, not made twice.
                let expected = match trouble {
                    Trouble::Nothing | Trouble::Slow(_) => 9,
                    _ => 6,
                };
                has(limiter, expected, (trouble, point)).await;
            },
        )
        .assert_covered(usize::from(waits(trouble)));
    }
}

/// Nor what is on its way already, of a key that had to go.
#[test]
fn cancel_give_back_loses_nothing_that_is_on_its_way() {
    cancel_everywhere(
        || {
            let store = Faulty::memory(Trouble::SlowOnRefunds(MS(10)));
            let builder = FleetLimiter::builder(store, Quota::new(Rate::per_day(1), 10));
            builder.lease(4).max_keys(1).build().unwrap()
        },
        async |limiter| {
            limiter.try_acquire("a", 1).await.unwrap();
            // All of a lease, so that there is nothing else to wait for.
            limiter.try_acquire("b", 4).await.unwrap();
            limiter.give_back(Duration::ZERO).await;
        },
        async |limiter, point| {
            has(limiter, 9, point).await;
            assert_eq!(limiter.stats().forfeited, 0, "{point:?}");
        },
    )
    .assert_covered(2);
}

#[test]
fn cancel_peek_takes_nothing() {
    for trouble in TROUBLES {
        cancel_everywhere(
            || limiter(trouble),
            async |limiter| {
                limiter.peek("a").await;
            },
            async |limiter, point| has(limiter, 10, (trouble, point)).await,
        )
        .assert_covered(usize::from(waits(trouble)));
    }
}
