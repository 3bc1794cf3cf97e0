//! A limit for each key.

use crate::{SECOND, poll};
use std::{
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_ratelimit::{
    AcquireError, AcquireKeyError, ConfigError, KeyedLimiter, KeyedLimiterBuilder, ManualClock,
    OnFull, Quota, Rate, TryAcquireError, TryAcquireKeyError,
};
use tidegate_testkit::{advance, cancel_everywhere, settle};
use tokio::time::Instant;

/// A token a second and key.
fn manual(burst: u64) -> (KeyedLimiterBuilder<u64, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::new(Rate::per_second(1), burst);
    (KeyedLimiter::builder(quota).clock(clock.clone()), clock)
}

#[test]
fn each_key_has_a_limit_of_its_own() {
    let (builder, clock) = manual(2);
    let limiter = builder.build().unwrap();
    for key in 0..100 {
        assert!(limiter.try_acquire(&key, 2).is_ok());
        let denied = limiter.try_acquire(&key, 1).unwrap_err();
        assert_eq!((denied.retry_after(), denied.remaining()), (Some(SECOND), 0));
    }
    clock.advance(SECOND);
    for key in 0..100 {
        assert_eq!(limiter.peek(&key).unwrap().remaining, 1);
        assert!(limiter.try_acquire(&key, 1).is_ok());
        assert!(limiter.try_acquire(&key, 1).is_err());
    }
}

#[test]
fn what_never_passes_makes_no_key() {
    let (builder, _) = manual(2);
    let limiter = builder.build().unwrap();
    let error = limiter.try_acquire(&1, 3).unwrap_err();
    let never = TryAcquireError::Never { cost: 3, possible: 2, remaining: 2 };
    assert_eq!(error, TryAcquireKeyError::Limit(never));
    assert!(limiter.try_acquire(&2, 0).is_ok(), "nothing is always there");
    assert_eq!(limiter.peek(&3).unwrap().remaining, 2);
    assert!(limiter.is_empty(), "a key that owes nothing need not be there");
}

#[test]
fn a_refund_is_there_for_others() {
    let (builder, clock) = manual(2);
    let limiter = builder.build().unwrap();
    limiter.try_acquire(&1, 2).unwrap().refund();
    let permit = limiter.try_acquire(&1, 2).unwrap();
    clock.advance(5 * SECOND);
    limiter.evict();
    permit.refund();
    assert_eq!(limiter.peek(&1).unwrap().remaining, 2, "never more than a burst");
}

#[test]
fn a_reset_key_is_as_a_new_one() {
    let (builder, _) = manual(2);
    let limiter = builder.build().unwrap();
    limiter.try_acquire(&1, 2).unwrap();
    limiter.reset(&1);
    assert!(limiter.is_empty());
    assert!(limiter.try_acquire(&1, 2).is_ok());
}

/// boinkor-net/governor#171: keys that were seen once stay for ever, and whoever can choose keys fills
/// the memory.
#[test]
fn keys_that_come_once_do_not_fill_the_memory() {
    let (builder, clock) = manual(1);
    let limiter = builder.build().unwrap();
    for key in 0..200_000 {
        assert!(limiter.try_acquire(&key, 1).is_ok());
        clock.advance(SECOND / 1000);
        assert!(limiter.len() <= 2500, "{} keys at {key}", limiter.len());
    }
    assert!(limiter.stats().bytes < 200_000, "{:?}", limiter.stats());
}

#[test]
fn there_are_never_more_keys_than_may_be() {
    let (builder, clock) = manual(1);
    let limiter = builder.max_keys(100).build().unwrap();
    for key in 0..100 {
        assert!(limiter.try_acquire(&key, 1).is_ok(), "{key}");
        clock.advance(SECOND / 1000);
    }
    let full = limiter.try_acquire(&100, 1).unwrap_err();
    let TryAcquireKeyError::TooManyKeys { max_keys: 100, .. } = full else { panic!("{full:?}") };
    assert_eq!(full.retry_after(), Some(SECOND / 10 * 9), "when the first is full");
    assert!(limiter.try_acquire(&5, 1).is_err(), "it is in the table, and has nothing left");
    assert_eq!((limiter.len(), limiter.stats().turned_away), (100, 1));
    clock.advance(full.retry_after().unwrap());
    assert!(limiter.try_acquire(&100, 1).is_ok(), "the first has made room");
    assert!(limiter.try_acquire(&101, 1).is_err());
    assert_eq!((limiter.len(), limiter.stats().evicted), (100, 1));
}

#[test]
fn keys_without_room_share_a_cell() {
    let (builder, clock) = manual(1);
    let quota = Quota::new(Rate::per_second(2), 2);
    let limiter = builder.max_keys(1).on_full(OnFull::Share(quota)).build().unwrap();
    limiter.try_acquire(&0, 1).unwrap();
    limiter.try_acquire(&1, 1).unwrap().refund();
    limiter.try_acquire(&1, 1).unwrap();
    limiter.try_acquire(&2, 1).unwrap();
    let denied = limiter.try_acquire(&3, 1).unwrap_err();
    assert_eq!(denied.retry_after(), Some(SECOND / 2));
    clock.advance(SECOND / 2);
    assert!(limiter.try_acquire(&1, 1).is_ok());
}

#[test]
fn keys_without_room_pass_if_they_are_to() {
    let (builder, _) = manual(1);
    let limiter = builder.max_keys(1).on_full(OnFull::Admit).build().unwrap();
    limiter.try_acquire(&0, 1).unwrap();
    for key in 1..50 {
        limiter.try_acquire(&key, 1).unwrap().refund();
    }
    assert!(limiter.try_acquire(&0, 1).is_err(), "that one has a cell");
    assert_eq!((limiter.len(), limiter.stats().turned_away), (1, 49));
}

#[test]
fn memory_is_given_back_after_a_flood() {
    let (builder, clock) = manual(1);
    let limiter = builder.max_keys(100_000).build().unwrap();
    for key in 0..100_000 {
        limiter.try_acquire(&key, 1).unwrap();
    }
    let flooded = limiter.stats().bytes;
    clock.advance(SECOND);
    // Nobody new comes: a few clients go on, and what is left is swept in passing.
    for _ in 0..20_000 {
        clock.advance(SECOND / 100);
        let _ = limiter.try_acquire(&7, 1);
    }
    let stats = limiter.stats();
    assert!(stats.keys <= 1 && stats.bytes * 20 < flooded, "{flooded} before, {stats:?}");
}

#[test]
fn a_key_has_the_quota_that_it_is_said_to_have() {
    let (builder, clock) = manual(1);
    let paid = Arc::new(AtomicU64::new(u64::MAX));
    let of = Arc::clone(&paid);
    let quota_for = move |key: &u64| {
        let burst = if *key == of.load(SeqCst) { 10 } else { 2 };
        Quota::new(Rate::per_second(burst), burst)
    };
    let limiter = builder.quota_for(quota_for).build().unwrap();
    assert!(limiter.try_acquire(&1, 2).is_ok() && limiter.try_acquire(&2, 1).is_ok());
    assert!(limiter.try_acquire(&1, 1).is_err());
    // What was taken stays taken: two of ten.
    paid.store(1, SeqCst);
    assert_eq!(limiter.peek(&1).unwrap().remaining, 8);
    assert!(limiter.try_acquire(&1, 8).is_ok());
    assert!(limiter.try_acquire(&1, 1).is_err());
    // Ten of two are eight too many, and come back at two a second.
    paid.store(u64::MAX, SeqCst);
    assert_eq!(limiter.try_acquire(&1, 1).unwrap_err().retry_after(), Some(SECOND * 9 / 2));
    clock.advance(SECOND * 9 / 2);
    assert!(limiter.try_acquire(&1, 1).is_ok());
    assert_eq!(limiter.peek(&2).unwrap().remaining, 2);
}

/// More of them than a table has places for.
#[test]
fn every_key_may_have_another_quota() {
    let (builder, clock) = manual(1);
    let quota_for = |key: &u64| Quota::new(Rate::per_second(1), *key);
    let limiter = builder.quota_for(quota_for).build().unwrap();
    for _ in 0..3 {
        for key in 1..=500 {
            assert!(limiter.try_acquire(&key, key).is_ok(), "{key}");
            let denied = limiter.try_acquire(&key, 1).unwrap_err();
            assert_eq!(denied.retry_after(), Some(SECOND));
        }
        clock.advance(500 * SECOND);
    }
}

#[test]
fn a_quota_that_is_not_usable_is_an_error_of_its_key() {
    let (builder, _) = manual(1);
    let quota_for = |key: &u64| Quota::new(Rate::per_second(1), *key);
    let limiter = builder.quota_for(quota_for).build().unwrap();
    let error = limiter.try_acquire(&0, 1).unwrap_err();
    assert_eq!(error, TryAcquireKeyError::Quota(ConfigError::ZeroBurst));
    assert_eq!((error.retry_after(), error.remaining()), (None, 0));
    assert_eq!(limiter.peek(&0), Err(ConfigError::ZeroBurst));
    assert!(limiter.try_acquire(&1, 1).is_ok());
}

#[test]
fn the_quota_of_all_changes_at_once() {
    let (builder, clock) = manual(4);
    let limiter = builder.build().unwrap();
    for key in 0..50 {
        limiter.try_acquire(&key, 3).unwrap();
    }
    limiter.set_quota(Quota::new(Rate::per_second(2), 10)).unwrap();
    assert_eq!(limiter.quota().burst(), 10);
    for key in 0..50 {
        assert_eq!(limiter.peek(&key).unwrap().remaining, 7);
    }
    limiter.set_quota(Quota::new(Rate::per_second(2), 1)).unwrap();
    for key in 0..50 {
        let denied = limiter.try_acquire(&key, 1).unwrap_err();
        assert_eq!(denied.retry_after(), Some(SECOND * 3 / 2));
    }
    clock.advance(SECOND * 3 / 2);
    assert!((0..50).all(|key| limiter.try_acquire(&key, 1).is_ok()));
    let error = limiter.set_quota(Quota::new(Rate::per_second(2), 0)).unwrap_err();
    assert_eq!((error, limiter.quota().burst()), (ConfigError::ZeroBurst, 1));
}

/// What this key does when it is hashed, compared or cloned.
#[derive(Clone, Debug)]
struct Rude(u64, Arc<AtomicBool>);

impl PartialEq for Rude {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.1.load(SeqCst), "a comparison that panics");
        self.0 == other.0
    }
}

impl Eq for Rude {}

impl Hash for Rude {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[test]
fn a_comparison_that_panics_leaves_the_table_sound() {
    let is_rude = Arc::new(AtomicBool::new(false));
    let keys: Vec<_> = (0..40).map(|key| Rude(key, Arc::clone(&is_rude))).collect();
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 2))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    for key in &keys[..20] {
        limiter.try_acquire(key, 1).unwrap();
    }
    is_rude.store(true, SeqCst);
    for key in &keys {
        let panicked = catch_unwind(AssertUnwindSafe(|| limiter.try_acquire(key, 1).is_ok()));
        assert!(panicked.is_err());
    }
    is_rude.store(false, SeqCst);
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(limiter.peek(key).unwrap().remaining, if at < 20 { 1 } else { 2 });
        assert!(limiter.try_acquire(key, 1).is_ok());
    }
}

#[test]
fn a_quota_that_panics_leaves_the_table_sound() {
    let (builder, _) = manual(1);
    let quota_for = |key: &u64| {
        assert!(*key != 13, "an unlucky key");
        Quota::new(Rate::per_second(1), *key)
    };
    let limiter = builder.quota_for(quota_for).build().unwrap();
    limiter.try_acquire(&12, 12).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| limiter.try_acquire(&13, 1).is_ok())).is_err());
    assert!(limiter.try_acquire(&12, 1).is_err() && limiter.try_acquire(&14, 14).is_ok());
}

/// A key that, when it is dropped, asks the limiter that it is dropped by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asks(u64, Option<KeyRef>);

#[derive(Clone)]
struct KeyRef(Arc<std::sync::OnceLock<KeyedLimiter<Asks, ManualClock>>>);

impl PartialEq for KeyRef {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KeyRef {}

impl Hash for KeyRef {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(limiter) = self.1.take().and_then(|limiter| limiter.0.get().cloned()) {
            assert!(limiter.try_acquire(&Asks(1000, None), 0).is_ok());
        }
    }
}

#[test]
fn keys_are_dropped_when_no_lock_is_held() {
    let late = KeyRef(Arc::default());
    let clock = ManualClock::new();
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1))
        .clock(clock.clone())
        .max_keys(64)
        .build()
        .unwrap();
    assert!(late.0.set(limiter.clone()).is_ok());
    for key in 0..500 {
        limiter.try_acquire(&Asks(key, Some(late.clone())), 1).unwrap();
        clock.advance(SECOND / 10);
    }
    clock.advance(SECOND);
    limiter.reset(&Asks(499, Some(late.clone())));
    limiter.evict();
    assert!(limiter.is_empty());
}

#[tidegate_testkit::test]
async fn who_waits_for_a_key_is_served_in_order() {
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(10), 1)).build().unwrap();
    let start = Instant::now();
    let wait = async |key: u64, n| {
        limiter.acquire(&key, n).await.unwrap();
        start.elapsed()
    };
    limiter.try_acquire(&1, 1).unwrap();
    let waits = tokio::join!(wait(1, 1), wait(1, 1), wait(2, 1), wait(1, 1), wait(2, 1));
    let ms = Duration::from_millis;
    assert_eq!(waits, (ms(100), ms(200), ms(0), ms(300), ms(100)));
    assert_eq!((limiter.stats().waiting, limiter.len()), (0, 2));
}

#[tidegate_testkit::test]
async fn nobody_overtakes_who_waits_for_the_same_key() {
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 2)).build().unwrap();
    limiter.try_acquire(&1, 2).unwrap();
    let mut big = pin!(limiter.acquire(&1, 2));
    assert!(poll(big.as_mut()).is_pending());
    advance(SECOND).await;
    let denied = limiter.try_acquire(&1, 1).unwrap_err();
    assert_eq!((denied.retry_after(), denied.remaining()), (Some(2 * SECOND), 0));
    assert_eq!(limiter.peek(&1).unwrap().waiting, 1);
    assert!(limiter.try_acquire(&2, 2).is_ok(), "another key");
    big.await.unwrap();
}

#[tidegate_testkit::test]
async fn a_wait_that_takes_too_long_fails_at_once() {
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1)).build().unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    let error = limiter.acquire_within(&1, 1, SECOND / 2).await.unwrap_err();
    let late = AcquireError::TooLate { retry_after: SECOND, allowed: SECOND / 2 };
    assert_eq!(error, AcquireKeyError::Limit(late));
    let error = limiter.acquire(&1, 2).await.unwrap_err();
    assert_eq!(error, AcquireError::Never { cost: 2, possible: 1 }.into());
    let start = Instant::now();
    limiter.acquire_within(&1, 1, SECOND).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}

#[tidegate_testkit::test]
async fn only_so_many_wait() {
    let quota = Quota::new(Rate::per_second(1), 1);
    let limiter = KeyedLimiter::builder(quota).max_waiters(2).build().unwrap();
    for key in 0..3 {
        limiter.try_acquire(&key, 1).unwrap();
    }
    let mut one = pin!(limiter.acquire(&0, 1));
    let mut two = pin!(limiter.acquire(&1, 1));
    assert!(poll(one.as_mut()).is_pending() && poll(two.as_mut()).is_pending());
    assert_eq!(limiter.stats().waiting, 2);
    for (key, retry_after) in [(1, 2 * SECOND), (2, SECOND)] {
        let error = limiter.acquire(&key, 1).await.unwrap_err();
        let full = AcquireError::Full { waiting: 2, retry_after };
        assert_eq!(error, AcquireKeyError::Limit(full));
        assert_eq!(error.retry_after(), Some(retry_after));
    }
    assert!(limiter.acquire(&3, 1).await.is_ok(), "this one need not wait");
    one.await.unwrap();
    two.await.unwrap();
    assert_eq!(limiter.stats().waiting, 0);
}

#[test]
fn a_keyed_acquire_gives_up_everything_at_every_await() {
    cancel_everywhere(
        || {
            let quota = Quota::new(Rate::per_second(1), 4);
            let limiter = KeyedLimiter::builder(quota).build().unwrap();
            limiter.try_acquire(&1, 4).unwrap();
            limiter
        },
        async |limiter: &KeyedLimiter<u64>| {
            limiter.acquire(&1, 2).await.unwrap().refund();
            limiter.acquire_within(&1, 3, 9 * SECOND).await.unwrap().refund();
        },
        async |limiter: &KeyedLimiter<u64>, point| {
            assert_eq!(limiter.stats().waiting, 0, "{point}");
            advance(5 * SECOND).await;
            assert_eq!(limiter.peek(&1).unwrap().remaining, 4, "{point}");
            limiter.evict();
            assert!(limiter.is_empty(), "{point}: nobody needs a limiter of its own any more");
        },
    )
    .assert_covered(2);
}

/// What waited for has a limiter of its own, for as long as that takes.
#[tidegate_testkit::test]
async fn a_key_is_as_before_when_nobody_waits_any_more() {
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 2)).build().unwrap();
    limiter.try_acquire(&1, 2).unwrap();
    let bytes = limiter.stats().bytes;
    let task = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire(&1, 2).await.map(|permit| permit.cost()) }
    });
    settle().await;
    assert!(limiter.stats().bytes > bytes);
    assert_eq!(limiter.evict(), 0, "who waits stays");
    assert_eq!(task.await.unwrap(), Ok(2));
    assert_eq!(limiter.stats().bytes, bytes);
    assert_eq!(limiter.try_acquire(&1, 1).unwrap_err().retry_after(), Some(SECOND));
}

#[tidegate_testkit::test]
async fn changes_reach_those_who_wait() {
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_hour(1), 1)).build().unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    limiter.try_acquire(&2, 1).unwrap();
    let start = Instant::now();
    let (mut one, mut two) = (pin!(limiter.acquire(&1, 1)), pin!(limiter.acquire(&2, 1)));
    assert!(poll(one.as_mut()).is_pending() && poll(two.as_mut()).is_pending());
    limiter.reset(&1);
    one.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    limiter.set_quota(Rate::per_second(1)).unwrap();
    two.await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}

/// While somebody waits, the quota of the key changes for whoever asks next, and for who waits.
#[tidegate_testkit::test]
async fn a_quota_of_its_own_reaches_those_who_wait() {
    let rate = Arc::new(AtomicU64::new(1));
    let of = Arc::clone(&rate);
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_second(1), 1))
        .quota_for(move |_: &u64| Quota::new(Rate::per_hour(of.load(SeqCst)), 1))
        .build()
        .unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    let start = Instant::now();
    let mut waiter = pin!(limiter.acquire(&1, 1));
    assert!(poll(waiter.as_mut()).is_pending());
    rate.store(3600, SeqCst);
    assert!(limiter.try_acquire(&1, 1).is_err());
    waiter.await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
}

/// The refund of one who passed long ago lets pass who waits.
#[tidegate_testkit::test]
async fn a_refund_lets_pass_who_waits() {
    let limiter = KeyedLimiter::builder(Quota::new(Rate::per_hour(1), 1)).build().unwrap();
    let permit = limiter.try_acquire(&1, 1).unwrap();
    let mut waiter = pin!(limiter.acquire(&1, 1));
    assert!(poll(waiter.as_mut()).is_pending());
    permit.refund();
    let start = Instant::now();
    waiter.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}
