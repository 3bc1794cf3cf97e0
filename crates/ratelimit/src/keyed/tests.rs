//! What threads keep at hand, and what is kept in the tables, seen from inside.

use super::{KeyedLimiter, builder::Size};
use crate::{ManualClock, Quota, Rate, state::Held};
use std::time::Duration;
use tidegate_core::sync::lock;

/// How many keys a thread keeps at hand.
const AT_HAND: u8 = 4;

fn limiter() -> KeyedLimiter<u8, ManualClock> {
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_hour(1), 9));
    builder
        .clock(ManualClock::new())
        .build_of(Size { tables: 1, seats: 1 })
        .expect("a usable quota")
}

/// As once threads have got in each other's way for it.
fn keep_at_hand(limiter: &KeyedLimiter<u8, ManualClock>, key: u8) {
    let request = limiter.shards.request(&key, 0);
    let owner = limiter.shards.own(&request).expect("it is in the table");
    limiter.shards.keep_at_hand(&request, owner);
}

fn has_owner(limiter: &KeyedLimiter<u8, ManualClock>, key: u8) -> bool {
    let request = limiter.shards.request(&key, 0);
    let shard = lock(limiter.shards.shard(&request));
    let at = shard.table.find(request.tag, &key).expect("it owes something");
    matches!(shard.table.held(at), Held::Owned(..))
}

/// It is the one that is pushed out whose cell goes back into the table, and nobody has to come by for that.
#[test]
fn a_key_that_is_pushed_out_by_another_one_leaves_nothing_behind() {
    let limiter = limiter();
    let keys = 0..AT_HAND + 20;
    for key in keys.clone() {
        limiter.try_acquire(&key, 2).unwrap();
    }
    let mut most = 0;
    for key in keys.clone() {
        // All at hand are in use at the first time, and are not any more at the second.
        keep_at_hand(&limiter, key);
        keep_at_hand(&limiter, key);
        let owned = keys.clone().filter(|key| has_owner(&limiter, *key)).count();
        assert!(owned <= usize::from(AT_HAND), "{owned} have owners after {key}");
        assert!(has_owner(&limiter, key), "{key} is at hand");
        let bytes = limiter.stats().bytes;
        if key == AT_HAND {
            most = bytes;
        }
        assert!(key < AT_HAND || bytes <= most, "{bytes} after {key}, and {most} before");
    }
    for key in keys {
        assert_eq!(limiter.peek(&key).unwrap().remaining, 7, "{key}");
    }
}

/// One that is not kept, as all others are in use.
#[test]
fn a_key_that_is_not_kept_at_hand_leaves_nothing_behind() {
    let limiter = limiter();
    for key in 0..=AT_HAND {
        limiter.try_acquire(&key, 2).unwrap();
        keep_at_hand(&limiter, key);
        assert_eq!(has_owner(&limiter, key), key < AT_HAND);
    }
}

/// Of one table, in which a token is back after a millisecond.
fn quick(max_keys: usize) -> (KeyedLimiter<u64, ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let builder = KeyedLimiter::builder(Quota::new(Rate::per_second(1000), 1_000_000));
    let builder = builder.clock(clock.clone()).max_keys(max_keys);
    (builder.build_of(Size { tables: 1, seats: 1 }).expect("a usable quota"), clock)
}

/// As most clients are: full whenever they come.
#[test]
fn a_key_that_comes_often_stays_though_it_is_full() {
    // Two others come for each time that it does, and with each of them two cells are looked at.
    let added = |every: Duration| {
        let (limiter, clock) = quick(10_000);
        let request = limiter.shards.request(&0, 0);
        let mut added = 0;
        for turn in 1..100 {
            let is_there = lock(limiter.shards.shard(&request)).table.find(request.tag, &0);
            added += usize::from(is_there.is_none());
            limiter.try_acquire(&0, 1).unwrap();
            clock.advance(every / 2);
            limiter.try_acquire(&(turn * 2), 1).unwrap();
            limiter.try_acquire(&(turn * 2 + 1), 1).unwrap();
            clock.advance(every / 2);
        }
        added
    };
    assert_eq!(added(Duration::from_millis(90)), 1, "it is found");
    assert!(added(Duration::from_millis(300)) > 20, "nobody has asked for it for a while");
}

#[test]
fn a_key_that_is_full_goes_at_once_where_there_is_little_room() {
    let evicted = |max_keys| {
        let (limiter, clock) = quick(max_keys);
        let take = |key: u64| {
            let cost = if key.is_multiple_of(10) { 1 } else { 1_000_000 };
            limiter.try_acquire(&key, cost).unwrap();
        };
        (0..140).for_each(take);
        clock.advance(Duration::from_millis(50));
        (141..150).for_each(take);
        limiter.stats().evicted
    };
    assert_eq!(evicted(170), 0);
    assert!(evicted(160) > 0, "seven of eight places are in use");
}

/// Who asks for a key that is not there, and is not added, looks at no cell, and leaves that to the next one.
#[test]
fn who_asks_for_a_key_that_is_not_there_keeps_nobody_from_sweeping() {
    let (limiter, clock) = quick(10_000);
    limiter.try_acquire(&0, 1_000_000).unwrap();
    for key in 1..=500 {
        limiter.try_acquire(&key, 1).unwrap();
    }
    let evicted = limiter.stats().evicted;
    clock.advance(Duration::from_millis(500));
    for _ in 0..20 {
        clock.advance(Duration::from_millis(10));
        assert!(limiter.try_acquire(&1000, 1_000_001).is_err(), "never");
        assert!(limiter.try_acquire(&0, 999_999).is_err(), "not yet");
    }
    assert_eq!(limiter.stats().evicted - evicted, 500);
}
