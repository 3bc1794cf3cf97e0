//! What stores calculate, against the cell of local limiters; accounts, against a store of theirs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use super::{
    super::store::{Answer, Ask, StoreError},
    *,
};
use crate::{
    Quota, Rate,
    fleet::FleetConfigError,
    state::{Gcra, Scale},
};
use std::time::Duration;
use tidegate_core::{Backoff, Jitter};

const MS: u64 = 1_000_000;

fn quota(count: u64, period: Duration, burst: u64) -> StoreQuota {
    StoreQuota::new(Quota::new(Rate::new(count, period), burst)).unwrap()
}

fn per_second(count: u64, burst: u64) -> StoreQuota {
    quota(count, Duration::from_secs(1), burst)
}

mod quotas {
    use super::*;

    #[test]
    fn a_rate_is_kept_as_a_fraction() {
        let exact = |quota: StoreQuota| (quota.tick(), quota.token());
        assert_eq!(exact(per_second(100, 1)), (1, 10_000));
        assert_eq!(exact(per_second(300_000_000, 1)), (300, 1));
        assert_eq!(exact(quota(7, Duration::from_secs(3), 1)), (7, 3_000_000));
        assert_eq!(exact(quota(1, Duration::from_nanos(3), 1)), (1000, 3));
    }

    #[test]
    fn what_a_double_does_not_hold_is_refused() {
        let hourly = |burst| StoreQuota::new(Quota::new(Rate::per_hour(1), burst));
        assert!(hourly(1_000_000).is_ok());
        assert!(matches!(hourly(2_000_000), Err(FleetConfigError::TooFine { .. })));
        let limit = (1_u64 << 52) - 2 - 3_600_000_000;
        assert!(hourly(limit / 3_600_000_000).is_ok());
        assert!(hourly(limit / 3_600_000_000 + 1).is_err());
        let zero = StoreQuota::new(Quota::new(Rate::ZERO, 1));
        assert_eq!(zero, Err(FleetConfigError::NeverRefills));
        let huge = Quota::new(Rate::new(1 << 62, Duration::from_nanos(1)), 1);
        assert!(StoreQuota::new(huge).is_err());
    }

    #[test]
    fn a_failover_to_an_older_clock_leaves_the_key_empty_at_worst() {
        let quota = per_second(10, 5);
        let (tat, _) = quota.apply(None, 10_000_000, &Ask::take(5));
        // The clock of the server that takes over is 9 s behind.
        let (tat, answer) = quota.apply(Some(tat), 1_000_000, &Ask::take(1));
        assert_eq!((answer.granted, answer.full_after), (0, Duration::from_millis(500)));
        let (_, answer) = quota.apply(Some(tat), 1_100_000, &Ask::take(1));
        assert_eq!(answer.granted, 1);
    }

    #[test]
    fn what_the_asker_knows_counts_where_the_store_has_forgotten() {
        let quota = per_second(10, 5);
        let known = Ask { at_least: 450_000, ..Ask::take(1) };
        assert_eq!(quota.apply(None, 7, &known).1.granted, 0);
        let known = Ask { at_least: 400_000, ..Ask::take(1) };
        assert_eq!(quota.apply(None, 7, &known).1.granted, 1);
        let beyond = Ask { at_least: u64::MAX, ..Ask::take(1) };
        assert_eq!(quota.apply(None, 7, &beyond).1.full_after, Duration::from_millis(500));
    }

    #[test]
    fn another_quota_keeps_what_is_owed_in_time() {
        let (fine, plain) = (per_second(300_000_000, 100_000_000), per_second(10, 5));
        let tat = Tat { micros: 300_000, units: 299 };
        // Units of a microsecond that another quota has not are cut off.
        assert_eq!(
            plain.apply(Some(tat), 0, &Ask::peek()).1.full_after,
            Duration::from_millis(300)
        );
        assert!(fine.apply(Some(tat), 0, &Ask::peek()).1.full_after > Duration::from_millis(300));
    }
}

/// An interpreter takes minutes to make up the cases.
#[cfg(not(miri))]
mod properties;

mod shares {
    use super::*;

    fn rules() -> Rules {
        let whole = Quota::new(Rate::per_second(100), 40);
        let share = Quota::new(Rate::new(100, Duration::from_secs(4)), 10);
        Rules {
            scale: Scale::new(whole).unwrap(),
            share: Scale::new(share).unwrap(),
            lease: 5,
            pace: Pace::new(whole, 5, 4, Some(Duration::from_millis(10))),
            max_waiters: 100,
        }
    }

    fn passes(account: &mut Account<u32>, now: u64, mode: &Mode) -> u64 {
        let asks = |account: &mut Account<u32>| account.ask(&rules(), now, 1, Form::Try, mode);
        (0..1000).take_while(|_| matches!(asks(account), Now::Passes(_))).count() as u64
    }

    const LOCAL: Mode = Mode::Local { until: u64::MAX };

    fn answered(account: &mut Account<u32>, now: u64, granted: u64, full_after: u64) {
        let key = account.join(1, Form::Try, None);
        let Next::Exchange(_) = account.next(&rules(), now, &Mode::STORE, 1) else { panic!() };
        let answer = Answer { granted, full_after: Duration::from_millis(full_after) };
        account.answered(&rules(), now, answer, 1);
        account.next(&rules(), now, &Mode::STORE, 1);
        assert!(account.poll(key, 0).0.is_some());
    }

    #[test]
    fn a_share_goes_on_from_what_is_known() {
        let mut cold = Account::new(&rules(), 0, 1);
        assert_eq!(passes(&mut cold, 0, &LOCAL), 10, "a share of the burst");
        let mut spent = Account::new(&rules(), 0, 1);
        answered(&mut spent, 0, 0, 400);
        assert_eq!(passes(&mut spent, 0, &LOCAL), 0, "the key was empty");
        assert_eq!(passes(&mut spent, 400 * MS, &LOCAL), 10, "and is full by now");
        let mut half = Account::new(&rules(), 0, 1);
        answered(&mut half, 0, 5, 200);
        assert_eq!(passes(&mut half, 0, &LOCAL), 4 + 5, "what is in hand, and half of the share");
    }

    #[test]
    fn the_store_is_told_what_the_share_has_spent() {
        let mut account = Account::new(&rules(), 0, 1);
        assert_eq!(passes(&mut account, 0, &LOCAL), 10);
        let key = account.join(1, Form::Wait { deadline: u64::MAX }, None);
        // By what it knows the key is empty, and there is nothing to ask for yet.
        let Next::Sleep(at) = account.next(&rules(), 0, &Mode::STORE, 2) else { panic!() };
        let Next::Exchange(ask) = account.next(&rules(), at, &Mode::STORE, 2) else { panic!() };
        assert_eq!(u128::from(ask.at_least), u128::from(400 * MS - at) / 1000);
        account.answered(&rules(), at, Answer { granted: 1, full_after: Duration::ZERO }, 2);
        account.next(&rules(), at, &Mode::STORE, 2);
        assert!(matches!(account.poll(key, 0).0, Some(Step::Passes(_))));
    }

    /// Somebody else probes: what was to go with the exchange goes with a later one, and is worth less then.
    #[test]
    fn what_is_not_sent_after_all_loses_its_worth_with_time() {
        let mut account: Account<u32> = Account::new(&rules(), 0, 1);
        let origin = Origin::Lease { since: 0, changes: 0 };
        account.refund(&rules(), 0, 15, origin);
        assert!(matches!(account.ask(&rules(), 0, 20, Form::Try, &Mode::STORE), Now::Joins));
        account.join(20, Form::Wait { deadline: u64::MAX }, None);
        let Next::Exchange(ask) = account.next(&rules(), 0, &Mode::STORE, 1) else { panic!() };
        assert_eq!(ask.refund, 10);
        account.withdraw();
        account.at(40 * MS);
        let next = account.next(&rules(), 40 * MS, &Mode::STORE, 1);
        let Next::Exchange(ask) = next else { panic!("{next:?}") };
        assert_eq!((ask.refund, account.take_tally().forfeited), (6, 0));
        account.failed();
        assert_eq!(account.take_tally().forfeited, 10, "of which four have come back");
    }

    /// Under the lock of the key: who joins is looked at, and not all who were there.
    #[test]
    #[cfg_attr(miri, ignore = "so long a line takes an interpreter minutes")]
    fn a_line_is_joined_without_a_look_at_all_of_it() {
        let rules = Rules { max_waiters: 10_000, ..rules() };
        for deadline in [u64::MAX, 200_000 * MS] {
            let mut account: Account<u32> = Account::new(&rules, 0, 1);
            answered(&mut account, 0, 0, 400);
            for _ in 0..10_000 {
                account.join(1, Form::Wait { deadline }, None);
                assert!(matches!(account.next(&rules, 0, &Mode::STORE, 1), Next::Sleep(_)));
            }
            assert_eq!(account.waiting(), 10_000);
            assert!(account.looked_at() <= 10_001, "{}", account.looked_at());
        }
    }

    #[test]
    fn nobody_waits_behind_a_probe() {
        let mut account = Account::new(&rules(), 0, 1);
        account.join(1, Form::Try, None);
        assert!(matches!(account.next(&rules(), 0, &Mode::STORE, 1), Next::Exchange(_)));
        assert_eq!(passes(&mut account, 0, &LOCAL), 10);
    }

    #[test]
    fn a_waker_that_is_not_kept_is_handed_out() {
        let mut account: Account<u32> = Account::new(&rules(), 0, 1);
        let key = account.join(1, Form::Try, Some(1));
        assert!(matches!(account.poll(key, 2), (None, Some(1))), "the one before");
        account.next(&rules(), 0, &Mode::Open, 1);
        assert!(matches!(account.poll(key, 3), (Some(Step::Passes(_)), Some(3))), "the new one");
        let key = account.join(1, Form::Try, Some(4));
        assert!(matches!(account.leave(&rules(), 0, key, 1), (true, Step::Waits(Some(4)))));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stall() {
        let mut account = Account::new(&rules(), 0, 1);
        answered(&mut account, 3_600_000 * MS, 0, 400);
        let said = account.ask(&rules(), 0, 1, Form::Try, &Mode::STORE);
        let Now::Fails(Fail::Denied { retry_after, .. }) = said else { panic!("{said:?}") };
        assert!(retry_after <= Duration::from_millis(410), "{retry_after:?}");
    }

    #[test]
    fn a_store_with_nothing_is_left_alone_for_a_pace() {
        let mut account = Account::new(&rules(), 0, 1);
        // Others took what it said there would be.
        answered(&mut account, 0, 0, 0);
        let said = account.ask(&rules(), 0, 1, Form::Try, &Mode::STORE);
        let Now::Fails(Fail::Denied { retry_after, .. }) = said else { panic!("{said:?}") };
        assert_eq!(retry_after, Duration::from_millis(10));
        assert!(matches!(account.ask(&rules(), 10 * MS, 1, Form::Try, &Mode::STORE), Now::Joins));
    }
}

// Thousands of keys are too many for an interpreter.
#[cfg(not(miri))]
mod keys {
    use super::*;

    fn take(keys: &mut Keys, key: u64, now: u64) -> Option<u64> {
        let (quota, key) = (per_second(1000, 10), key.to_string());
        keys.apply(&key, &quota, now, &Ask::take(1), 1000).map(|answer| answer.granted)
    }

    #[test]
    fn a_flood_of_keys_looks_at_one_or_two_for_each() {
        let (mut keys, mut refused) = (Keys::default(), 0);
        // A key is full again after 1000 us: at the cap, some find room and some do not.
        for key in 0..20_000 {
            refused += u64::from(take(&mut keys, key, key * 2 / 3).is_none());
            assert!(keys.len() <= 1000);
        }
        assert!((6_000..8_000).contains(&refused), "{refused}");
        assert!(keys.looked_at() <= 2 * 20_000, "{}", keys.looked_at());
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_full_and_not_before() {
        let mut keys = Keys::default();
        for key in 0..1000 {
            assert_eq!(take(&mut keys, key, key), Some(1));
        }
        // The first one is used again, and full last.
        assert_eq!(take(&mut keys, 0, 999), Some(1));
        assert_eq!(take(&mut keys, 1000, 1001), None, "the second one is full a microsecond later");
        assert_eq!(take(&mut keys, 1000, 1002), Some(1));
        assert_eq!(take(&mut keys, 1001, 1002), None);
        let peek = keys.apply("0", &per_second(1000, 10), 1002, &Ask::peek(), 1000).unwrap();
        assert_eq!(peek.full_after, Duration::from_micros(998));
    }

    #[test]
    fn a_refund_makes_a_key_full_sooner() {
        let mut keys = Keys::default();
        for key in 0..1000 {
            take(&mut keys, key, 0);
        }
        keys.apply("7", &per_second(1000, 10), 1, &Ask::refund(1), 1000).unwrap();
        assert_eq!(take(&mut keys, 1000, 1), None);
        assert_eq!(take(&mut keys, 1000, 2), Some(1));
    }
}

mod health {
    use super::*;

    fn health() -> Health {
        let backoff = Backoff::exponential(Duration::from_millis(100)).jitter(Jitter::None);
        Health::new(Delays::new(backoff, 50 * MS))
    }

    fn down() -> StoreError {
        StoreError::Panicked
    }

    #[test]
    fn one_probes_at_a_time_and_later_each_time() {
        let mut health = health();
        assert!(health.failed(0, 0, down()).0);
        let mut probes = Vec::new();
        for now in (0..2_000).map(|ms| ms * MS) {
            if health.take_turn(now) == Turn::Store {
                assert!(matches!(health.take_turn(now), Turn::Without { .. }), "another one");
                health.failed(now, now, down());
                probes.push(now / MS);
            }
        }
        assert_eq!(probes, [100, 300, 700, 1500]);
    }

    /// Keys that are refused together are not asked for again together.
    #[test]
    fn each_key_has_delays_of_its_own() {
        let backoff = Backoff::exponential(Duration::from_millis(100)).jitter(Jitter::Equal);
        let delays = Delays::new(backoff, 50 * MS);
        let mut all: Vec<_> = (0..100)
            .map(|key| {
                let mut health = Health::new(delays.of(&key.to_string()));
                health.failed(0, 0, down());
                health.error().unwrap().0 / MS
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() >= 25 && all[0] >= 50 && all[all.len() - 1] < 100, "{all:?}");
    }

    #[test]
    fn a_probe_that_nobody_drives_is_given_up() {
        let mut health = health();
        health.failed(0, 0, down());
        assert_eq!(health.take_turn(100 * MS), Turn::Store);
        assert_eq!(health.take_turn(149 * MS), Turn::Without { until: 150 * MS });
        assert_eq!(health.take_turn(150 * MS), Turn::Store);
    }

    #[test]
    fn late_failures_do_not_put_off_the_probe() {
        let mut health = health();
        assert!(health.failed(10 * MS, 1, down()).0);
        assert!(!health.failed(20 * MS, 2, down()).0);
        assert_eq!(health.look(110 * MS), Turn::Store);
        assert_eq!(health.take_turn(110 * MS), Turn::Store);
        assert!(!health.failed(111 * MS, 3, down()).0);
        assert_eq!(health.look(159 * MS), Turn::Without { until: 160 * MS });
    }

    #[test]
    fn an_answer_is_enough_to_be_up() {
        let mut health = health();
        let before = health.epoch();
        health.failed(0, 0, down());
        assert!(health.answered(7).is_some() && health.answered(7).is_none());
        assert_eq!(health.take_turn(1), Turn::Store);
        assert!(health.epoch() > before, "all tell the store what they know");
        assert!(health.failed(5 * MS, 1, down()).0, "and the delays begin anew");
        assert_eq!(health.look(105 * MS), Turn::Store);
    }
}
