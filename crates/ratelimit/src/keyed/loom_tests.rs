//! Models of the tables, of who owns a cell for a time, and of the keys at hand: run with
//! `--cfg tidegate_loom`.
//!
//! To a model all threads are one, as far as seats go: what is at hand of one is at hand of all.

use super::{
    KeyedLimiter, KeyedLimiterBuilder,
    builder::Size,
    request::{Source, Taken},
};
use crate::{
    ManualClock, Quota, Rate,
    loom_model::{SECOND, model},
    state::Held,
};
use std::{
    future::Future,
    hash::{BuildHasherDefault, DefaultHasher},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
    lock, thread,
};

/// Not std's random one: each execution is to take the same way.
type Fixed = BuildHasherDefault<DefaultHasher>;
type Limiter = KeyedLimiter<u8, ManualClock, Fixed>;

const KEY: u8 = 7;
const TAKEN: Taken = Taken { source: Source::Key, at: 0, quota: None };

fn builder(burst: u64) -> (KeyedLimiterBuilder<u8, ManualClock, Fixed>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::new(Rate::per_second(1), burst);
    let builder = KeyedLimiter::builder(quota).hasher(Fixed::default()).clock(clock.clone());
    (builder, clock)
}

/// Of one table, from which `KEY` has taken some.
fn limiter(burst: u64, taken: u64) -> (Limiter, ManualClock) {
    let (builder, clock) = builder(burst);
    let limiter = builder.build_of(Size { tables: 1, seats: 1 }).unwrap();
    limiter.try_acquire(&KEY, taken).unwrap();
    (limiter, clock)
}

fn take(limiter: &Limiter, cost: u64) -> u64 {
    u64::from(limiter.try_acquire(&KEY, cost).is_ok()) * cost
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Asks, waits if it has to, and gives up at once then.
fn take_or_give_up(limiter: &Limiter, cost: u64) -> u64 {
    let mut acquire = Box::pin(limiter.acquire(&KEY, cost));
    match poll(acquire.as_mut()) {
        Poll::Ready(Ok(_)) => cost,
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => 0,
    }
}

/// Has the thread keep `KEY` at hand, as it does once threads have got in each other's way for it.
fn keep_at_hand(limiter: &Limiter) {
    let request = limiter.shards.request(&KEY, 0);
    let owner = limiter.shards.own(&request).unwrap();
    limiter.shards.keep_at_hand(&request, owner);
}

/// Nobody waits, as many keys are counted as there are, and who owned a cell has given it back.
fn assert_settled(limiter: &Limiter) {
    assert_eq!(limiter.stats().waiting, 0);
    limiter.shards.front.let_go_of_all();
    limiter.shards.settle(&limiter.shards.request(&KEY, 0));
    let tables = limiter.shards.tables.iter().map(|table| lock(&table.0));
    let keys: usize = tables.map(|shard| shard.table.len()).sum();
    assert_eq!(limiter.len(), keys);
    let request = limiter.shards.request(&KEY, 0);
    let shard = lock(limiter.shards.shard(&request));
    if let Some(at) = shard.table.find(request.tag, &KEY) {
        assert!(matches!(shard.table.held(at), Held::Here(..)), "somebody owns it still");
    }
}

#[test]
fn loom_two_callers_of_a_key_lose_and_mint_nothing() {
    model("two_callers_of_a_key_lose_and_mint_nothing", || {
        let (limiter, _clock) = limiter(2, 2);
        let other = limiter.clone();
        let giver = thread::spawn(move || other.shards.give_back(&KEY, 1, TAKEN));
        let other = limiter.clone();
        // As long as one of them has to wait, the cell has an owner, which is the same to both.
        let quitter = thread::spawn(move || take_or_give_up(&other, 1));
        let mine = take_or_give_up(&limiter, 1);
        giver.join().unwrap();
        let taken = quitter.join().unwrap() + mine;
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 1 - taken);
        assert_settled(&limiter);
    });
}

/// One gives up its place while another one asks for what it may have been given.
#[test]
fn loom_a_waiter_that_leaves_a_key_loses_nothing() {
    model("a_waiter_that_leaves_a_key_loses_nothing", || {
        let (limiter, _clock) = limiter(1, 1);
        let mut waiter = Box::pin(limiter.acquire(&KEY, 1));
        assert!(poll(waiter.as_mut()).is_pending());
        let other = limiter.clone();
        let giver = thread::spawn(move || other.shards.give_back(&KEY, 1, TAKEN));
        let other = limiter.clone();
        let taker = thread::spawn(move || take_or_give_up(&other, 1));
        drop(waiter);
        giver.join().unwrap();
        let taken = taker.join().unwrap();
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 1 - taken);
        assert_settled(&limiter);
    });
}

#[test]
fn loom_who_waits_for_a_key_is_served_as_another_one_settles() {
    model("who_waits_for_a_key_is_served_as_another_one_settles", || {
        let (limiter, _clock) = limiter(1, 1);
        let other = limiter.clone();
        let quitter = thread::spawn(move || {
            other.shards.give_back(&KEY, 1, TAKEN);
            // It is served, or waits in turn; in the end it gives the cell back either way.
            let taken = take_or_give_up(&other, 1);
            other.shards.give_back(&KEY, taken, TAKEN);
        });
        assert!(loom::future::block_on(limiter.acquire(&KEY, 1)).is_ok());
        quitter.join().unwrap();
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 0);
        assert_settled(&limiter);
    });
}

#[test]
fn loom_who_waits_for_a_key_is_served_as_tables_are_swept() {
    model("who_waits_for_a_key_is_served_as_tables_are_swept", || {
        let (limiter, clock) = limiter(1, 1);
        let other = limiter.clone();
        let sweeper = thread::spawn(move || other.evict());
        let time = thread::spawn(move || clock.advance(SECOND));
        assert!(loom::future::block_on(limiter.acquire(&KEY, 1)).is_ok());
        sweeper.join().unwrap();
        time.join().unwrap();
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 0);
        assert_settled(&limiter);
    });
}

/// A place in the line is dropped, by who has not looked, as its tokens come: they are for who asks next.
#[test]
fn loom_a_reservation_of_a_key_that_is_dropped_loses_nothing() {
    model("a_reservation_of_a_key_that_is_dropped_loses_nothing", || {
        let (limiter, _clock) = limiter(1, 1);
        let reservation = limiter.reserve(KEY, 1).unwrap();
        let other = limiter.clone();
        let giver = thread::spawn(move || other.shards.give_back(&KEY, 1, TAKEN));
        let other = limiter.clone();
        let taker = thread::spawn(move || take_or_give_up(&other, 1));
        drop(reservation);
        giver.join().unwrap();
        let taken = taker.join().unwrap();
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 1 - taken);
        assert_settled(&limiter);
    });
}

/// One that has seen its tokens keeps nothing of the key, and gives them back as others come and go.
#[test]
fn loom_a_reservation_that_holds_tokens_of_a_key_keeps_no_entry() {
    model("a_reservation_that_holds_tokens_of_a_key_keeps_no_entry", || {
        let (limiter, _clock) = limiter(1, 1);
        let mut reservation = limiter.reserve(KEY, 1).unwrap();
        let other = limiter.clone();
        let giver = thread::spawn(move || other.shards.give_back(&KEY, 1, TAKEN));
        let other = limiter.clone();
        let second = thread::spawn(move || {
            let second = other.reserve(KEY, 1).unwrap();
            u64::from(second.commit().is_ok())
        });
        let saw = reservation.is_ready();
        giver.join().unwrap();
        if saw {
            assert_eq!(second.join().unwrap(), 0, "both have the same token");
            assert_settled(&limiter);
            drop(reservation);
            assert_eq!(limiter.peek(&KEY).unwrap().remaining, 1);
        } else {
            drop(reservation);
            let taken = second.join().unwrap();
            assert_eq!(limiter.peek(&KEY).unwrap().remaining, 1 - taken);
        }
        assert_settled(&limiter);
    });
}

#[test]
fn loom_a_reservation_of_a_key_is_served_as_tables_are_swept() {
    model("a_reservation_of_a_key_is_served_as_tables_are_swept", || {
        let (limiter, clock) = limiter(1, 1);
        let mut reservation = limiter.reserve(KEY, 1).unwrap();
        let other = limiter.clone();
        let sweeper = thread::spawn(move || other.evict());
        let time = thread::spawn(move || clock.advance(SECOND));
        loom::future::block_on(reservation.ready()).unwrap();
        sweeper.join().unwrap();
        time.join().unwrap();
        reservation.commit().unwrap();
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 0);
        assert_settled(&limiter);
    });
}

/// Two tables, and room for one key in both.
fn narrow() -> (Limiter, ManualClock, [u8; 3]) {
    let (builder, clock) = builder(1);
    let limiter = builder.max_keys(1).build_of(Size { tables: 2, seats: 1 }).unwrap();
    let table = |key: &u8| limiter.shards.request(key, 0).shard;
    let [first, other] = [0, 1].map(|at| (0..100).filter(move |key| table(key) == at));
    let mut first = first;
    let mut other = other;
    let keys = [first.next().unwrap(), other.next().unwrap(), first.next().unwrap()];
    (limiter, clock, keys)
}

#[test]
fn loom_no_more_keys_than_may_be() {
    model("no_more_keys_than_may_be", || {
        let (limiter, _clock, [one, other, third]) = narrow();
        let takers = [one, other].map(|key| {
            let limiter = limiter.clone();
            thread::spawn(move || usize::from(limiter.try_acquire(&key, 1).is_ok()))
        });
        let mine = usize::from(limiter.try_acquire(&third, 1).is_ok());
        let passed: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert_eq!(passed + mine, 1);
        assert_eq!(limiter.len(), 1);
        assert_settled(&limiter);
    });
}

/// The one key that there is room for is of no use any more, and two want its place.
#[test]
fn loom_room_is_made_for_one_key_by_one_that_is_full() {
    model("room_is_made_for_one_key_by_one_that_is_full", || {
        let (limiter, clock, [old, one, other]) = narrow();
        limiter.try_acquire(&old, 1).unwrap();
        clock.advance(SECOND);
        let taker = {
            let limiter = limiter.clone();
            thread::spawn(move || usize::from(limiter.try_acquire(&one, 1).is_ok()))
        };
        let mine = usize::from(limiter.try_acquire(&other, 1).is_ok());
        assert_eq!(taker.join().unwrap() + mine, 1);
        assert_eq!(limiter.len(), 1);
        assert_settled(&limiter);
    });
}

#[test]
fn loom_a_change_of_the_quota_keeps_what_a_key_has_taken() {
    model("a_change_of_the_quota_keeps_what_a_key_has_taken", || {
        let (limiter, _clock) = limiter(2, 1);
        let other = limiter.clone();
        let change = thread::spawn(move || {
            other.set_quota(Quota::new(Rate::per_second(1000), 3)).unwrap();
        });
        let other = limiter.clone();
        let quitter = thread::spawn(move || take_or_give_up(&other, 2));
        let mine = take(&limiter, 1);
        change.join().unwrap();
        let taken = quitter.join().unwrap() + mine;
        assert_settled(&limiter);
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 2 - taken);
    });
}

#[test]
fn loom_a_change_of_the_quota_reaches_who_waits_for_a_key() {
    model("a_change_of_the_quota_reaches_who_waits_for_a_key", || {
        let (limiter, _clock) = limiter(1, 1);
        let other = limiter.clone();
        let quota = Quota::new(Rate::per_second(1), 2);
        let change = thread::spawn(move || other.set_quota(quota).unwrap());
        assert!(loom::future::block_on(limiter.acquire(&KEY, 1)).is_ok());
        change.join().unwrap();
        assert_settled(&limiter);
    });
}

/// How long two tokens that are missing take to come back.
fn two_tokens(rate: Rate) -> Duration {
    rate.period() * 2 / u32::try_from(rate.count()).unwrap()
}

/// Whichever is the last: the owner of a key goes by the same as the table, and so does the cell that it
/// gives back.
#[test]
fn loom_two_changes_of_the_quota_reach_who_waits_for_a_key() {
    model("two_changes_of_the_quota_reach_who_waits_for_a_key", || {
        let (limiter, _clock) = limiter(2, 2);
        let mut waiter = Box::pin(limiter.acquire(&KEY, 1));
        assert!(poll(waiter.as_mut()).is_pending());
        let changes = [1000, 10].map(|rate| {
            let other = limiter.clone();
            let quota = Quota::new(Rate::per_second(rate), 2);
            thread::spawn(move || other.set_quota(quota).unwrap())
        });
        changes.into_iter().for_each(|change| change.join().unwrap());
        let full_after = Some(two_tokens(limiter.quota().rate()));
        assert_eq!(limiter.peek(&KEY).unwrap().full_after, full_after);
        drop(waiter);
        assert_settled(&limiter);
        assert_eq!(limiter.peek(&KEY).unwrap().full_after, full_after);
    });
}

#[test]
fn loom_two_changes_of_the_quota_are_the_same_to_all_tables() {
    model("two_changes_of_the_quota_are_the_same_to_all_tables", || {
        let (limiter, _clock, _) = narrow();
        let changes = [1000, 10].map(|rate| {
            let other = limiter.clone();
            thread::spawn(move || other.set_quota(Rate::per_second(rate)).unwrap())
        });
        limiter.set_quota(Rate::per_second(100)).unwrap();
        changes.into_iter().for_each(|change| change.join().unwrap());
        let quotas = limiter.shards.tables.iter().map(|table| lock(&table.0).table.plan().quota);
        assert!({ quotas }.all(|quota| quota == limiter.quota()));
    });
}

/// The quota of a key changes as two ask for it, each by the quota that it knows of.
#[test]
fn loom_two_quotas_of_one_key_lose_and_mint_nothing() {
    model("two_quotas_of_one_key_lose_and_mint_nothing", || {
        let rate = Arc::new(AtomicU64::new(1));
        let told = Arc::clone(&rate);
        let quota_for = move |_: &u8| Quota::new(Rate::per_second(told.load(Relaxed)), 2);
        let limiter = builder(2).0.quota_for(quota_for);
        let limiter = limiter.build_of(Size { tables: 1, seats: 1 }).unwrap();
        limiter.try_acquire(&KEY, 2).unwrap();
        let mut waiter = Box::pin(limiter.acquire(&KEY, 1));
        assert!(poll(waiter.as_mut()).is_pending());
        let other = limiter.clone();
        let change = {
            let rate = Arc::clone(&rate);
            thread::spawn(move || {
                rate.store(10, Relaxed);
                take(&other, 1)
            })
        };
        let mine = take(&limiter, 1);
        assert_eq!(change.join().unwrap() + mine, 0);
        drop(waiter);
        assert_settled(&limiter);
        let full_after = two_tokens(Rate::per_second(10));
        assert_eq!(limiter.peek(&KEY).unwrap().full_after, Some(full_after));
    });
}

#[test]
fn loom_keys_at_hand_lose_and_mint_nothing() {
    model("keys_at_hand_lose_and_mint_nothing", || {
        let (limiter, _clock) = limiter(3, 1);
        keep_at_hand(&limiter);
        let other = limiter.clone();
        let taker = thread::spawn(move || take(&other, 1));
        let other = limiter.clone();
        // The owner is let go of, and the cell is back in the table, or not yet.
        let sweeper = thread::spawn(move || other.evict());
        let mine = take(&limiter, 1);
        let taken = taker.join().unwrap() + mine;
        assert_eq!(taken, 2);
        assert_eq!(sweeper.join().unwrap(), 0);
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 0);
        assert_settled(&limiter);
    });
}

/// Whatever a thread knows of the word of the owner is of the old scale then.
#[test]
fn loom_a_change_of_the_quota_reaches_a_key_at_hand() {
    model("a_change_of_the_quota_reaches_a_key_at_hand", || {
        let (limiter, _clock) = limiter(4, 1);
        keep_at_hand(&limiter);
        let other = limiter.clone();
        let change = thread::spawn(move || {
            other.set_quota(Quota::new(Rate::per_second(1000), 4)).unwrap();
        });
        let taken = take(&limiter, 1) + take(&limiter, 1);
        change.join().unwrap();
        let owed = u32::try_from(taken + 1).unwrap();
        assert_eq!(owed, 3);
        assert_eq!(limiter.peek(&KEY).unwrap().full_after, Some(Duration::from_millis(1) * owed));
        assert_settled(&limiter);
    });
}

#[test]
fn loom_a_key_at_hand_is_reset_and_let_go_of() {
    model("a_key_at_hand_is_reset_and_let_go_of", || {
        let (limiter, _clock) = limiter(2, 2);
        keep_at_hand(&limiter);
        let other = limiter.clone();
        let taker = thread::spawn(move || take(&other, 1));
        let other = limiter.clone();
        let sweeper = thread::spawn(move || other.evict());
        limiter.reset(&KEY);
        let taken = taker.join().unwrap();
        sweeper.join().unwrap();
        assert_eq!(limiter.peek(&KEY).unwrap().remaining, 2 - taken);
        assert_settled(&limiter);
    });
}
