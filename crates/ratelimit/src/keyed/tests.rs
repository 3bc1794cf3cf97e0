//! What threads keep at hand, seen from inside.

use super::{KeyedLimiter, builder::Size};
use crate::{ManualClock, Quota, Rate, state::Held};
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
