//! Tokens of keys that have to go: given back, or counted as given up.

use super::store::{Faulty, Trouble};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Fallback, FleetLimiter, FleetLimiterBuilder, FleetPermit},
};
use tidegate_testkit::Seed;
use tokio::time::sleep;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// No token comes back within a test.
const STILL: Quota = Quota::new(Rate::per_day(1), 10);

/// Of a lease of ten, with room for one key.
fn builder(store: &Arc<Faulty>, quota: Quota) -> FleetLimiterBuilder<Arc<Faulty>> {
    FleetLimiter::builder(Arc::clone(store), quota).lease(quota.burst()).max_keys(1)
}

/// How much is left of a key in the store.
async fn left(store: &Arc<Faulty>, key: &str) -> u64 {
    let limiter = FleetLimiter::builder(Arc::clone(store), STILL).build().unwrap();
    limiter.peek(key).await.remaining
}

#[tidegate_testkit::test]
async fn what_a_store_does_not_take_back_in_time_is_given_up() {
    let store = Faulty::memory(Trouble::HangsOnRefunds);
    let limiter = builder(&store, STILL).build().unwrap();
    for key in 0..101 {
        limiter.try_acquire(&key.to_string(), 1).await.unwrap();
    }
    // As many are under way as may be.
    assert_eq!(limiter.stats().forfeited, (100 - 64) * 9);
    sleep(MS(99)).await;
    assert_eq!(limiter.stats().forfeited, (100 - 64) * 9);
    sleep(MS(1)).await;
    let stats = limiter.stats();
    assert_eq!((stats.forfeited, stats.errors, stats.is_degraded), (900, 64, false));
    // There is room again, and the store has let go of them.
    store.set(Trouble::Slow(MS(5)));
    for key in 200..250 {
        limiter.try_acquire(&key.to_string(), 1).await.unwrap();
    }
    sleep(MS(50)).await;
    assert_eq!(limiter.stats().forfeited, 900);
    assert_eq!(left(&store, "240").await, 9);
}

/// Nobody comes by, but one who asks for the same key.
#[tidegate_testkit::test]
async fn whoever_asks_the_store_sees_to_what_is_given_back() {
    for peeks in [false, true] {
        let store = Faulty::memory(Trouble::Slow(MS(5)));
        let limiter = builder(&store, STILL).lease(3).build().unwrap();
        limiter.try_acquire("a", 1).await.unwrap();
        limiter.try_acquire("b", 3).await.unwrap();
        store.set(Trouble::Nothing);
        for expected in [7, 9] {
            assert_eq!(left(&store, "a").await, expected, "{peeks}");
            sleep(MS(20)).await;
            if peeks {
                limiter.peek("b").await;
            } else {
                limiter.try_acquire("b", 3).await.unwrap();
            }
        }
    }
}

#[tidegate_testkit::test]
async fn what_a_store_fails_to_take_back_is_counted() {
    for trouble in [Trouble::FailsOnRefunds, Trouble::PanicsOnRefunds] {
        let store = Faulty::memory(trouble);
        let limiter = builder(&store, STILL).build().unwrap();
        for key in 0..21 {
            limiter.try_acquire(&key.to_string(), 1).await.unwrap();
        }
        let stats = limiter.stats();
        assert_eq!(
            (stats.forfeited, stats.errors, stats.is_degraded),
            (180, 20, false),
            "{trouble:?}"
        );
    }
}

#[tidegate_testkit::test]
async fn what_a_store_has_taken_back_without_an_answer_is_not_given_back_again() {
    let store = Faulty::memory(Trouble::Nothing);
    let limiter = builder(&store, STILL).build().unwrap();
    limiter.try_acquire("a", 1).await.unwrap();
    store.set(Trouble::LosesAnswers);
    limiter.give_back(Duration::ZERO).await;
    assert_eq!(limiter.stats().forfeited, 9, "though it got there");
    store.set(Trouble::Nothing);
    sleep(Duration::from_secs(3)).await;
    limiter.give_back(Duration::ZERO).await;
    assert_eq!(left(&store, "a").await, 9);
}

/// What is worth nothing any more when its key goes.
#[tidegate_testkit::test]
async fn what_has_come_back_by_itself_is_counted_when_its_key_goes() {
    let store = Faulty::memory(Trouble::Nothing);
    let quota = Quota::new(Rate::per_second(10), 20);
    let limiter = builder(&store, quota).lease(1).build().unwrap();
    limiter.try_acquire("a", 10).await.unwrap().refund();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(limiter.stats().forfeited, 0);
    limiter.try_acquire("b", 1).await.unwrap();
    assert_eq!(limiter.stats().forfeited, 9, "all but the one that is a lease");
}

/// There is no room for it, as another one is in use.
#[tidegate_testkit::test]
async fn what_a_key_without_room_has_in_hand_is_given_back() {
    let store = Faulty::memory(Trouble::Nothing);
    let limiter = builder(&store, STILL).build().unwrap();
    let first = limiter.try_acquire("a", 1).await.unwrap();
    let permit = limiter.try_acquire("b", 1).await.unwrap();
    assert_eq!(left(&store, "b").await, 9, "the rest of the lease");
    permit.refund();
    assert_eq!(left(&store, "b").await, 10);
    {
        store.set(Trouble::Slow(MS(5)));
        let mut asks = pin!(limiter.try_acquire("c", 1));
        assert!(asks.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    for _ in 0..4 {
        sleep(MS(10)).await;
        let _ = limiter.stats();
    }
    store.set(Trouble::Nothing);
    assert_eq!(left(&store, "c").await, 10, "nor has one that was cancelled taken anything");
    assert_eq!(limiter.stats().forfeited, 0);
    drop(first);
}

/// Whoever began the exchange has gone, and so does the key before there is an answer.
#[tidegate_testkit::test]
async fn what_is_granted_to_a_key_that_had_to_go_is_given_back() {
    for changes in [false, true] {
        let store = Faulty::memory(Trouble::Slow(MS(5)));
        let limiter = builder(&store, STILL).build().unwrap();
        {
            let mut asks = pin!(limiter.try_acquire("a", 1));
            assert!(asks.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        if changes {
            limiter.set_quota(Quota::new(Rate::per_day(2), 10)).unwrap();
        }
        limiter.try_acquire("b", 1).await.unwrap();
        for _ in 0..4 {
            sleep(MS(10)).await;
            let _ = limiter.stats();
        }
        store.set(Trouble::Nothing);
        // Of what was taken under another quota nobody knows what it is worth.
        let expected = if changes { (0, 10) } else { (10, 0) };
        assert_eq!((left(&store, "a").await, limiter.stats().forfeited), expected);
    }
}

#[tidegate_testkit::test]
async fn give_back_waits_for_what_is_on_its_way() {
    let store = Faulty::memory(Trouble::Slow(MS(20)));
    let limiter = builder(&store, STILL).build().unwrap();
    for key in ["a", "b", "c"] {
        limiter.try_acquire(key, 1).await.unwrap();
    }
    limiter.give_back(Duration::ZERO).await;
    store.set(Trouble::Nothing);
    for key in ["a", "b", "c"] {
        assert_eq!(left(&store, key).await, 9, "{key}");
    }
    // But not for longer than the timeout.
    store.set(Trouble::HangsOnRefunds);
    for key in ["d", "e"] {
        limiter.try_acquire(key, 1).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    limiter.give_back(Duration::ZERO).await;
    assert_eq!((start.elapsed(), limiter.stats().forfeited), (MS(200), 18), "one after the other");
}

/// Whoever began an exchange has gone: what it brings is nobody's.
#[tidegate_testkit::test]
async fn give_back_waits_for_what_is_granted_to_nobody() {
    let store = Faulty::memory(Trouble::Slow(MS(20)));
    let limiter = builder(&store, STILL).build().unwrap();
    // The second one takes over, and the store does what it is asked.
    for _ in 0..2 {
        let mut asks = pin!(limiter.try_acquire("a", 1));
        assert!(asks.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sleep(MS(21)).await;
    }
    assert_eq!(left(&store, "a").await, 0);
    limiter.give_back(Duration::ZERO).await;
    assert_eq!((limiter.peek("a").await.in_hand, left(&store, "a").await), (0, 10));
}

/// Whatever happens: what the store misses was spent, or is counted as given up.
#[tidegate_testkit::test]
async fn no_token_is_lost_without_a_word() {
    let mut rng = Seed::new(11).rng();
    let keys = ["a", "b", "c", "d", "e"];
    let mut forfeited = 0;
    for round in 0..200 {
        let store = Faulty::memory(Trouble::Nothing);
        let max_keys = 1 + round % 3;
        let builder = FleetLimiter::builder(Arc::clone(&store), Quota::new(Rate::per_day(1), 100));
        let builder = builder.lease(10).max_keys(max_keys).fallback(Fallback::Closed);
        let limiter = builder.build().unwrap();
        let (mut spent, mut permits) = (0, Vec::new());
        for _ in 0..60 {
            let key = keys[usize::try_from(rng.next_u64() % 5).unwrap()];
            let cost = 1 + rng.next_u64() % 4;
            match rng.next_u64() % 10 {
                0 => store.set(Trouble::FailsOnRefunds),
                1 => store.set(Trouble::Slow(MS(3))),
                2 => store.set(Trouble::Nothing),
                3 => sleep(MS(4)).await,
                4 => drop(permits.pop()),
                5 => {
                    if let Some((cost, permit)) = permits.pop() {
                        spent -= cost;
                        FleetPermit::refund(permit);
                    }
                }
                6 | 7 => {
                    let mut asks = pin!(limiter.try_acquire(key, cost));
                    let mut cx = Context::from_waker(Waker::noop());
                    let passes = matches!(asks.as_mut().poll(&mut cx), Poll::Ready(Ok(_)));
                    spent += u64::from(passes) * cost;
                }
                _ => {
                    if let Ok(permit) = limiter.try_acquire(key, cost).await {
                        spent += cost;
                        permits.push((cost, permit));
                    }
                }
            }
        }
        drop(permits);
        store.set(Trouble::Nothing);
        sleep(Duration::from_secs(2)).await;
        limiter.give_back(Duration::ZERO).await;
        let mut missing = 0;
        for key in keys {
            let quota = Quota::new(Rate::per_day(1), 100);
            let other = FleetLimiter::builder(Arc::clone(&store), quota).build().unwrap();
            missing += 100 - other.peek(key).await.remaining;
        }
        forfeited += limiter.stats().forfeited;
        assert_eq!(missing, spent + limiter.stats().forfeited, "round {round}");
    }
    assert!(forfeited > 0);
}
