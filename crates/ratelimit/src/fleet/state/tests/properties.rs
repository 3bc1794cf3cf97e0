//! A fleet in a simulation, against what it has to keep to.

use super::*;
use proptest::prelude::*;

fn quotas() -> impl Strategy<Value = StoreQuota> {
    let count = prop_oneof![1..20_u64, 1..1_000_000_000_u64];
    let period = prop_oneof![Just(1_000_000_000_u64), 1..100_000_u64, 1..4_000_000_000_000_u64,];
    (count, period, 1..200_u64).prop_filter_map("too fine", |(count, period, burst)| {
        let rate = Rate::new(count, Duration::from_nanos(period));
        StoreQuota::new(Quota::new(rate, burst)).ok()
    })
}

fn asks() -> impl Strategy<Value = Ask> {
    (0..30_u64, 0..30_u64, 0..3_u64, prop_oneof![3 => Just(0), 1 => 0..5_000_000_u64])
        .prop_map(|(min, more, refund, at_least)| Ask { at_least, refund, min, max: min + more })
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
        3 => (0..6_u64).prop_map(Deed::Refund),
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
    /// Each admission: when, how much unless it was given back, by whom, and from where.
    admitted: Vec<(u64, u64, usize, Origin)>,
}

/// By the clock that nobody sets.
fn time(now: u64) -> u64 {
    (now - 1_800_000_000_000_000) * 1000
}

/// By the clock of an instance.
fn local(instance: &Instance, now: u64) -> u64 {
    10_000_000_000_u64.saturating_add_signed(instance.skew) + time(now)
}

impl Fleet {
    fn new(burst: u64, lease: u64, skews: &[i64]) -> Self {
        let quota = per_second(1000, burst);
        let scale = Scale::new(quota.quota()).unwrap();
        let share = Quota::new(Rate::new(1000, Duration::from_secs(3)), (burst / 3).max(1));
        let share = Scale::new(share).unwrap();
        let pace = Pace::new(quota.quota(), lease, 3, None);
        let rules = Rules { scale, share, lease, pace, max_waiters: 100 };
        let instance = |&skew: &i64| Instance {
            account: Account::new(&rules, 0, skew.unsigned_abs()),
            waits: Vec::new(),
            spent: 0,
            skew,
            epoch: 1,
        };
        let instances = skews.iter().map(instance).collect();
        let now = 1_800_000_000_000_000;
        Self { quota, rules, tat: None, now, instances, admitted: Vec::new() }
    }

    fn act(&mut self, at: usize, deed: Deed, fails: bool) {
        let (rules, now) = (self.rules, local(&self.instances[at], self.now));
        let time = time(self.now);
        let me = &mut self.instances[at];
        me.account.at(time);
        match deed {
            Deed::Try(cost) => match me.account.ask(&rules, now, cost, Form::Try, &Mode::STORE) {
                Now::Passes(origin) => self.pass(at, cost, origin),
                Now::Fails(_) => {}
                Now::Joins => {
                    let key = me.account.join(cost, Form::Try, Some(0));
                    me.waits.push((key, cost));
                }
            },
            Deed::Wait(cost) => {
                let within = if cost % 2 == 0 { cost * 5_000_000 } else { u64::MAX };
                let form = Form::Wait { deadline: now.saturating_add(within) };
                match me.account.ask(&rules, now, cost, form, &Mode::STORE) {
                    Now::Passes(origin) => self.pass(at, cost, origin),
                    Now::Fails(_) => {}
                    Now::Joins => {
                        let key = me.account.join(cost, form, Some(0));
                        me.waits.push((key, cost));
                    }
                }
            }
            Deed::Cancel => {
                if let Some((key, cost)) = me.waits.pop() {
                    me.account.leave(&rules, now, key, cost);
                }
            }
            // Of the last ones, however long ago they were.
            Deed::Refund(n) => {
                let (all, before) = (self.admitted.len(), usize::try_from(n).unwrap() * 7);
                let permit = all.checked_sub(before).and_then(|n| self.admitted.get_mut(n));
                if let Some((_, cost, by, origin)) = permit.filter(|permit| permit.1 > 0) {
                    let now = local(&self.instances[*by], self.now);
                    let by = &mut self.instances[*by];
                    by.spent -= *cost;
                    by.account.at(time);
                    by.account.refund(&rules, now, *cost, *origin);
                    *cost = 0;
                }
            }
            Deed::GiveBack => me.account.give_up_lease(),
            Deed::Fail => {}
        }
        self.drive(at, fails || matches!(deed, Deed::Fail));
    }

    fn pass(&mut self, at: usize, cost: u64, origin: Origin) {
        self.instances[at].spent += cost;
        self.admitted.push((self.now, cost, at, origin));
    }

    fn drive(&mut self, at: usize, fails: bool) {
        let (rules, now) = (self.rules, local(&self.instances[at], self.now));
        loop {
            let me = &mut self.instances[at];
            let Next::Exchange(ask) = me.account.next(&rules, now, &Mode::STORE, me.epoch) else {
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
            me.account.answered(&rules, now, answer, me.epoch);
        }
        let me = &mut self.instances[at];
        assert!(fails || me.account.too_late(&rules, now) == 0, "all who wait can wait");
        let waits = std::mem::take(&mut self.instances[at].waits);
        for (key, cost) in waits {
            let me = &mut self.instances[at];
            match me.account.poll(key, 0).0 {
                None => me.waits.push((key, cost)),
                Some(Step::Passes(origin)) => self.pass(at, cost, origin),
                Some(_) => {}
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
        for (at, (from, ..)) in fleet.admitted.iter().enumerate() {
            let mut sum = 0;
            for (until, cost, ..) in &fleet.admitted[at..] {
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
