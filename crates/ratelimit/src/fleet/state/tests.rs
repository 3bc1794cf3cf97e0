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
mod properties {
    use super::*;
    use proptest::prelude::*;

    fn quotas() -> impl Strategy<Value = StoreQuota> {
        let count = prop_oneof![1..20_u64, 1..1_000_000_000_u64];
        let period =
            prop_oneof![Just(1_000_000_000_u64), 1..100_000_u64, 1..4_000_000_000_000_u64,];
        (count, period, 1..200_u64).prop_filter_map("too fine", |(count, period, burst)| {
            let rate = Rate::new(count, Duration::from_nanos(period));
            StoreQuota::new(Quota::new(rate, burst)).ok()
        })
    }

    fn asks() -> impl Strategy<Value = Ask> {
        (0..30_u64, 0..30_u64, 0..3_u64, prop_oneof![3 => Just(0), 1 => 0..5_000_000_u64]).prop_map(
            |(min, more, refund, at_least)| Ask { at_least, refund, min, max: min + more },
        )
    }

    proptest! {
        /// The store and the cell of a local limiter admit the same, to the token, as long as time goes
        /// on: the numbers are exact.
        #[test]
        fn a_store_keeps_to_the_very_rate(
            quota in quotas(),
            steps in prop::collection::vec((0..2_000_000_u64, 0..50_u64), 1..200),
        ) {
            let mut cell = Gcra::new(quota.quota()).unwrap();
            let (mut tat, mut now) = (None, 1_800_000_000_000_000_u64);
            let origin = now;
            for (pause, cost) in steps {
                now += pause;
                let nanos = (now - origin) * 1000;
                let (next, answer) = quota.apply(tat, now, &Ask::take(cost));
                let took = cell.take(nanos, cost).is_ok();
                prop_assert_eq!(took, answer.granted == cost || cost == 0, "{} at {}", cost, nanos);
                prop_assert_eq!(cell.available(nanos), quota.remaining_units(next, now));
                tat = Some(next);
            }
        }

        /// No number is beyond what is exact, and no key is fuller or emptier than it can be.
        #[test]
        fn a_store_stays_within_its_numbers(
            quota in quotas(),
            steps in prop::collection::vec((-3_000_000..3_000_000_i64, asks()), 1..100),
        ) {
            let (mut tat, mut now) = (None, 1_800_000_000_000_000_u64);
            for (step, ask) in steps {
                now = now.saturating_add_signed(step);
                let (next, answer) = quota.apply(tat, now, &ask);
                prop_assert!(answer.granted <= ask.max);
                prop_assert!(answer.granted == 0 || answer.granted >= ask.min);
                prop_assert!(next.micros >= now && next.units < quota.tick());
                let ahead = (next.micros - now) * quota.tick() + next.units;
                prop_assert!(ahead <= quota.burst() && quota.burst() + quota.tick() < 1 << 52);
                prop_assert_eq!(answer.full_after, quota.time(ahead));
                tat = Some(next);
            }
        }
    }

    impl StoreQuota {
        /// Whole tokens that are left at `now`.
        fn remaining_units(&self, tat: Tat, now: u64) -> u64 {
            (self.burst() - (tat.micros - now) * self.tick() - tat.units) / self.token()
        }
    }

    /// What an instance may do in a simulation.
    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Try(u64),
        Wait(u64),
        Cancel,
        Refund(u64),
        GiveBack,
        Fail,
    }

    fn deeds() -> impl Strategy<Value = Deed> {
        prop_oneof![
            8 => (1..4_u64).prop_map(Deed::Try),
            3 => (1..6_u64).prop_map(Deed::Wait),
            2 => Just(Deed::Cancel),
            1 => (1..6_u64).prop_map(Deed::Refund),
            1 => Just(Deed::GiveBack),
            1 => Just(Deed::Fail),
        ]
    }

    /// An instance with its own idea of the time.
    struct Instance {
        account: Account<u32>,
        waits: Vec<(usize, u64)>,
        spent: u64,
        skew: i64,
        epoch: u64,
    }

    struct Fleet {
        quota: StoreQuota,
        rules: Rules,
        tat: Option<Tat>,
        /// By the clock of the store, in microseconds.
        now: u64,
        instances: Vec<Instance>,
        /// Each admission that the store was told of no refund of: when, and how much.
        admitted: Vec<(u64, u64)>,
    }

    impl Fleet {
        fn new(burst: u64, lease: u64, skews: &[i64]) -> Self {
            let quota = per_second(1000, burst);
            let scale = Scale::new(quota.quota()).unwrap();
            let share = Quota::new(Rate::new(1000, Duration::from_secs(3)), (burst / 3).max(1));
            let share = Scale::new(share).unwrap();
            let rules = Rules { scale, share, lease, pace: MS, max_waiters: 100 };
            let instance = |&skew: &i64| Instance {
                account: Account::new(&rules),
                waits: Vec::new(),
                spent: 0,
                skew,
                epoch: 1,
            };
            let instances = skews.iter().map(instance).collect();
            let now = 1_800_000_000_000_000;
            Self { quota, rules, tat: None, now, instances, admitted: Vec::new() }
        }

        fn local(&self, at: usize) -> u64 {
            10_000_000_000_u64.saturating_add_signed(self.instances[at].skew)
                + (self.now - 1_800_000_000_000_000) * 1000
        }

        fn act(&mut self, at: usize, deed: Deed, fails: bool) {
            let (rules, now) = (self.rules, self.local(at));
            let me = &mut self.instances[at];
            match deed {
                Deed::Try(cost) => {
                    match me.account.ask(&rules, now, cost, Form::Try, &Mode::Store) {
                        Now::Passes => self.pass(at, cost),
                        Now::Fails(_) => {}
                        Now::Joins => {
                            let key = me.account.join(cost, Form::Try, Some(0));
                            me.waits.push((key, cost));
                        }
                    }
                }
                Deed::Wait(cost) => {
                    let form = Form::Wait { deadline: u64::MAX };
                    match me.account.ask(&rules, now, cost, form, &Mode::Store) {
                        Now::Passes => self.pass(at, cost),
                        Now::Fails(_) => {}
                        Now::Joins => {
                            let key = me.account.join(cost, form, Some(0));
                            me.waits.push((key, cost));
                        }
                    }
                }
                Deed::Cancel => {
                    if let Some((key, cost)) = me.waits.pop() {
                        me.account.leave(&rules, key, cost);
                    }
                }
                Deed::Refund(n) => {
                    let n = n.min(me.spent);
                    if let Some((_, last)) = self.admitted.last_mut().filter(|(_, last)| *last >= n)
                    {
                        *last -= n;
                        me.spent -= n;
                        me.account.refund(&rules, n);
                    }
                }
                Deed::GiveBack => me.account.give_up_lease(),
                Deed::Fail => {}
            }
            self.drive(at, fails || matches!(deed, Deed::Fail));
        }

        fn pass(&mut self, at: usize, cost: u64) {
            self.instances[at].spent += cost;
            self.admitted.push((self.now, cost));
        }

        fn drive(&mut self, at: usize, fails: bool) {
            let (rules, now) = (self.rules, self.local(at));
            loop {
                let me = &mut self.instances[at];
                let Next::Exchange(ask) = me.account.next(&rules, now, &Mode::Store, me.epoch)
                else {
                    break;
                };
                // Whether or not the answer gets there.
                let (tat, answer) = self.quota.apply(self.tat, self.now, &ask);
                self.tat = Some(tat);
                if fails {
                    me.account.failed();
                    me.epoch += 1;
                    break;
                }
                me.account.answered(&rules, answer, me.epoch);
            }
            let waits = std::mem::take(&mut self.instances[at].waits);
            for (key, cost) in waits {
                let me = &mut self.instances[at];
                match me.account.poll(key, 0) {
                    Err(_) => me.waits.push((key, cost)),
                    Ok(Step::Passes) => self.pass(at, cost),
                    Ok(_) => {}
                }
            }
        }
    }

    proptest! {
        /// The bound of the fleet, in every window: burst, rate, and what each has in hand.
        #[test]
        fn a_fleet_admits_no_more_than_it_may(
            burst in 4..40_u64,
            part in 1..4_u64,
            skews in prop::collection::vec(-1_000_000_000..1_000_000_000_i64, 1..4),
            deeds in prop::collection::vec((0..3_usize, deeds(), 0..20_000_u64), 1..300),
        ) {
            let lease = (burst / (4 * part)).max(1);
            let mut fleet = Fleet::new(burst, lease, &skews);
            for (at, deed, pause) in deeds {
                fleet.now += pause;
                let at = at % fleet.instances.len();
                fleet.act(at, deed, false);
                let in_hand = fleet.instances[at].account.lease();
                let waited = fleet.instances[at].waits.iter().map(|(_, cost)| cost).max();
                prop_assert!(in_hand <= lease.max(waited.copied().unwrap_or(0)), "{}", in_hand);
            }
            let n = skews.len() as u64;
            for (at, (from, _)) in fleet.admitted.iter().enumerate() {
                let mut sum = 0;
                for (until, cost) in &fleet.admitted[at..] {
                    sum += cost;
                    let most = burst + (until - from) / 1000 + n * lease.max(5);
                    prop_assert!(sum <= most, "{} of {} in {} us", sum, most, until - from);
                }
            }
        }

        /// Tokens that left the store and did not come back are spent, in hand or given up, and nowhere
        /// else.
        #[test]
        fn no_token_is_lost_or_made(
            deeds in prop::collection::vec((deeds(), 0..20_000_u64), 1..300),
        ) {
            let mut fleet = Fleet::new(30, 10, &[0]);
            let mut taken = 0_i64;
            for (deed, pause) in deeds {
                // Without time nothing comes back to the store.
                let _ = pause;
                if matches!(deed, Deed::Fail) {
                    continue;
                }
                fleet.act(0, deed, false);
                let me = &fleet.instances[0];
                let owed = fleet.tat.map_or(0, |tat| (tat.micros - fleet.now) / 1000);
                taken = i64::try_from(owed).unwrap();
                let held = i64::try_from(me.spent + me.account.holds()).unwrap();
                prop_assert_eq!(taken, held, "{:?}", deed);
            }
            prop_assert!(taken <= 30);
        }

        /// A store that fails after it has done what it was asked costs tokens, and makes none.
        #[test]
        fn a_failure_makes_no_tokens(
            deeds in prop::collection::vec((deeds(), any::<bool>()), 1..100),
        ) {
            let mut fleet = Fleet::new(30, 10, &[0]);
            for (deed, fails) in deeds {
                fleet.act(0, deed, fails);
                let me = &fleet.instances[0];
                let owed = fleet.tat.map_or(0, |tat| (tat.micros - fleet.now) / 1000);
                // A refund of which the answer was lost has got there, and is in hand no more.
                prop_assert!(me.spent + me.account.holds() <= owed);
            }
        }
    }
}

mod shares {
    use super::*;

    fn rules() -> Rules {
        let whole = Quota::new(Rate::per_second(100), 40);
        let share = Quota::new(Rate::new(100, Duration::from_secs(4)), 10);
        Rules {
            scale: Scale::new(whole).unwrap(),
            share: Scale::new(share).unwrap(),
            lease: 5,
            pace: 10 * MS,
            max_waiters: 100,
        }
    }

    fn passes(account: &mut Account<u32>, now: u64, mode: &Mode) -> u64 {
        let asks = |account: &mut Account<u32>| account.ask(&rules(), now, 1, Form::Try, mode);
        (0..1000).take_while(|_| matches!(asks(account), Now::Passes)).count() as u64
    }

    const LOCAL: Mode = Mode::Local { until: u64::MAX };

    fn answered(account: &mut Account<u32>, now: u64, granted: u64, full_after: u64) {
        let key = account.join(1, Form::Try, None);
        let Next::Exchange(_) = account.next(&rules(), now, &Mode::Store, 1) else { panic!() };
        let answer = Answer { granted, full_after: Duration::from_millis(full_after) };
        account.answered(&rules(), answer, 1);
        account.next(&rules(), now, &Mode::Store, 1);
        assert!(account.poll(key, 0).is_ok());
    }

    #[test]
    fn a_share_goes_on_from_what_is_known() {
        let mut cold = Account::new(&rules());
        assert_eq!(passes(&mut cold, 0, &LOCAL), 10, "a share of the burst");
        let mut spent = Account::new(&rules());
        answered(&mut spent, 0, 0, 400);
        assert_eq!(passes(&mut spent, 0, &LOCAL), 0, "the key was empty");
        assert_eq!(passes(&mut spent, 400 * MS, &LOCAL), 10, "and is full by now");
        let mut half = Account::new(&rules());
        answered(&mut half, 0, 5, 200);
        assert_eq!(passes(&mut half, 0, &LOCAL), 4 + 5, "what is in hand, and half of the share");
    }

    #[test]
    fn the_store_is_told_what_the_share_has_spent() {
        let mut account = Account::new(&rules());
        assert_eq!(passes(&mut account, 0, &LOCAL), 10);
        let key = account.join(1, Form::Wait { deadline: u64::MAX }, None);
        // By what it knows the key is empty, and there is nothing to ask for yet.
        let Next::Sleep(at) = account.next(&rules(), 0, &Mode::Store, 2) else { panic!() };
        let Next::Exchange(ask) = account.next(&rules(), at, &Mode::Store, 2) else { panic!() };
        assert_eq!(u128::from(ask.at_least), u128::from(400 * MS - at) / 1000);
        account.answered(&rules(), Answer { granted: 1, full_after: Duration::ZERO }, 2);
        account.next(&rules(), at, &Mode::Store, 2);
        assert!(matches!(account.poll(key, 0), Ok(Step::Passes)));
    }

    #[test]
    fn nobody_waits_behind_a_probe() {
        let mut account = Account::new(&rules());
        account.join(1, Form::Try, None);
        assert!(matches!(account.next(&rules(), 0, &Mode::Store, 1), Next::Exchange(_)));
        assert_eq!(passes(&mut account, 0, &LOCAL), 10);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stall() {
        let mut account = Account::new(&rules());
        answered(&mut account, 3_600_000 * MS, 0, 400);
        let said = account.ask(&rules(), 0, 1, Form::Try, &Mode::Store);
        let Now::Fails(Fail::Denied { retry_after, .. }) = said else { panic!("{said:?}") };
        assert!(retry_after <= Duration::from_millis(410), "{retry_after:?}");
    }

    #[test]
    fn a_store_with_nothing_is_left_alone_for_a_pace() {
        let mut account = Account::new(&rules());
        // Others took what it said there would be.
        answered(&mut account, 0, 0, 0);
        let said = account.ask(&rules(), 0, 1, Form::Try, &Mode::Store);
        let Now::Fails(Fail::Denied { retry_after, .. }) = said else { panic!("{said:?}") };
        assert_eq!(retry_after, Duration::from_millis(10));
        assert!(matches!(account.ask(&rules(), 10 * MS, 1, Form::Try, &Mode::Store), Now::Joins));
    }
}

mod health {
    use super::*;

    fn health() -> Health {
        let backoff = Backoff::exponential(Duration::from_millis(100)).jitter(Jitter::None);
        Health::new(backoff, 50 * MS)
    }

    fn down() -> StoreError {
        StoreError::Panicked
    }

    #[test]
    fn one_probes_at_a_time_and_later_each_time() {
        let mut health = health();
        assert!(health.failed(0, 0, down()));
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
        assert!(health.failed(10 * MS, 1, down()));
        assert!(!health.failed(20 * MS, 2, down()));
        assert_eq!(health.look(110 * MS), Turn::Store);
        assert_eq!(health.take_turn(110 * MS), Turn::Store);
        assert!(!health.failed(111 * MS, 3, down()));
        assert_eq!(health.look(159 * MS), Turn::Without { until: 160 * MS });
    }

    #[test]
    fn an_answer_is_enough_to_be_up() {
        let mut health = health();
        let before = health.epoch();
        health.failed(0, 0, down());
        assert!(health.answered() && !health.answered());
        assert_eq!(health.take_turn(1), Turn::Store);
        assert!(health.epoch() > before, "all tell the store what they know");
        assert!(health.failed(5 * MS, 1, down()), "and the delays begin anew");
        assert_eq!(health.look(105 * MS), Turn::Store);
    }
}
