//! Several instances and a store, with messages that are late, lost and said again, against naive ones.

use super::state::{Answer, Ask, Basis, Mine, Stand, View};
use crate::state::{self, Machine, Part, Sample, Say, Settings, State, Tally, Trip};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};
use tidegate_core::{Backoff, Jitter};

const CASES: u32 = if cfg!(miri) { 4 } else { 500 };
const MS: u64 = 1_000_000;
const HOLD: u64 = 2000;
const LEASE: u64 = 1000 * MS;
const COUNT: usize = 4;

fn sum<'a>(tallies: impl IntoIterator<Item = &'a (u64, Tally)>) -> Tally {
    tallies.into_iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(*tally))
}

/// All messages that have come since the record has changed, to be looked through each time.
#[derive(Default)]
struct Log(Vec<(u64, Ask)>);

impl Log {
    /// What comes after a later word is not heard, as long as that one is kept.
    fn hear(&mut self, now: u64, ask: &Ask) {
        let is_late = |(at, said): &(u64, Ask)| {
            at + HOLD > now && said.instance == ask.instance && said.seq >= ask.seq
        };
        if !self.0.iter().any(is_late) {
            self.0.push((now, ask.clone()));
        }
    }

    /// The latest word of each of the others, as long as it holds.
    fn others(&self, now: u64, me: u64) -> Tally {
        let mut latest = BTreeMap::<u64, &(u64, Ask)>::new();
        for said in self.0.iter().filter(|said| said.0 + HOLD > now) {
            let known = latest.entry(said.1.instance).or_insert(said);
            if known.1.seq < said.1.seq {
                *known = said;
            }
        }
        let holds = latest.into_values().filter(|(_, ask)| ask.instance != me);
        let parts = holds.flat_map(|(at, ask)| {
            ask.parts.iter().filter(move |(left, _)| at + (*left).min(HOLD) > now)
        });
        sum(parts)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn numbers_count_once_whenever_they_come(
        steps in prop::collection::vec((0..3_u64, 0..8_u8, 0..300_u64, 0..9_usize, any::<bool>()), 1..80),
    ) {
        let (mut view, mut log, mut sent) = (View::default(), Log::default(), Vec::<Ask>::new());
        let (mut now, mut known, mut record) = (0, [None; 3], None::<Basis>);
        for (seq, (instance, what, passed, which, again)) in (1..).zip(steps) {
            now += passed;
            let mine = match what {
                0 => Mine::Open { left: 200 },
                1 | 2 => Mine::Probing { lease: 300, asks: true },
                3 => Mine::Watching,
                _ => Mine::Closed,
            };
            let tally = Tally { calls: seq, failures: seq / 2, slow: 1 };
            let parts = vec![(300, tally), (HOLD, Tally { calls: 1, ..Tally::default() })];
            let (basis, hold) = (known[usize::try_from(instance).unwrap()], HOLD);
            sent.push(Ask { instance, seq, fresh: seq, basis, mine, hold, digest: 0, parts });
            // Any that was sent comes now, and may come again.
            let which = which % sent.len();
            let ask = if again { sent[which].clone() } else { sent.swap_remove(which) };
            let Answer { stand, others, .. } = view.exchange(now, &ask);
            let after = stand.map(|(basis, _)| basis);
            if after != record {
                if let (Some(before), Some(after)) = (record, after) {
                    prop_assert_eq!(after, Basis { epoch: before.epoch + 1, ..before });
                }
                (record, log) = (after, Log::default());
            }
            let is_closed = matches!(stand, Some((_, Stand::Closed)));
            if is_closed && ask.basis == record && matches!(ask.mine, Mine::Closed | Mine::Watching) {
                log.hear(now, &ask);
            }
            let expected = if is_closed { log.others(now, ask.instance) } else { Tally::default() };
            prop_assert_eq!(sum(&others), expected);
            known[usize::try_from(ask.instance).unwrap()] = after;
        }
    }
}

/// An instance without tasks, on a clock of its own.
struct Instance {
    machine: Machine,
    ahead: u64,
    seq: u64,
    basis: Option<Basis>,
    is_wanted: bool,
    probes: Vec<state::Admission>,
    /// Until when it has leave, by the clock of the store.
    leave: u64,
}

impl Instance {
    fn new(ahead: u64) -> Self {
        let settings = Settings::new()
            .trip(Trip::failure_rate(0.5))
            .min_calls(4)
            .half_open(crate::HalfOpen::probes(1).lease(Duration::from_nanos(LEASE)))
            .open_wait(Backoff::constant(Duration::from_secs(1)).jitter(Jitter::None));
        let mut machine = Machine::new(&settings).expect("they make sense");
        // It never goes on without leave.
        machine.share(1 << 60, MS);
        Self { machine, ahead, seq: 0, basis: None, is_wanted: false, probes: vec![], leave: 0 }
    }

    fn ask(&mut self, now: u64, number: usize) -> (Say, Ask) {
        let said = self.machine.say(now + self.ahead, HOLD * MS, self.is_wanted);
        self.is_wanted = false;
        self.seq += 1;
        let ask = Ask {
            instance: u64::try_from(number).expect("it is small"),
            seq: self.seq,
            fresh: now,
            basis: self.basis,
            mine: said.mine.into(),
            hold: HOLD * 1000,
            digest: 0,
            parts: said.parts.iter().map(|part| (part.left.div_ceil(1000), part.tally)).collect(),
        };
        (said, ask)
    }

    fn hear(&mut self, now: u64, said: &Say, answer: &Answer) {
        self.basis = answer.stand.map(|(basis, _)| basis);
        let part = |(left, tally): &(u64, Tally)| Part { left: left * 1000, tally: *tally };
        let others: Vec<_> = answer.others.iter().map(part).collect();
        if let Some((_, stand)) = answer.stand {
            self.machine.hear(now + self.ahead, said, stand.into(), &others);
        }
    }

    /// Says whether it has begun to probe.
    fn call(&mut self, now: u64, failed: bool) -> bool {
        let now = now + self.ahead;
        let before = self.machine.state();
        let Ok(call) = self.machine.enter(now).0 else {
            self.is_wanted = true;
            return false;
        };
        if call.is_probe() {
            self.probes.push(call);
        } else {
            self.machine.record(now, call, Some(Sample { failed, slow: false }));
        }
        before == State::Open
    }

    fn end_probe(&mut self, now: u64, failed: bool) {
        if let Some(probe) = self.probes.pop() {
            let sample = Sample { failed, slow: false };
            self.machine.record(now + self.ahead, probe, Some(sample));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Call {
        failed: bool,
    },
    EndProbe {
        failed: bool,
    },
    Send,
    /// To the store; it may come again.
    Deliver {
        again: bool,
    },
    Lose,
    /// From the store.
    Hear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..700_u64).prop_map(|ms| Step::Pass(ms * MS)),
        4 => prop::bool::weighted(0.7).prop_map(|failed| Step::Call { failed }),
        1 => any::<bool>().prop_map(|failed| Step::EndProbe { failed }),
        3 => Just(Step::Send),
        3 => prop::bool::weighted(0.2).prop_map(|again| Step::Deliver { again }),
        1 => Just(Step::Lose),
        3 => Just(Step::Hear),
    ]
}

/// What one has sent and has not been answered, whether the store has it, and what it has said.
type Sent = (Say, Ask, Option<Answer>);

fn all_hear(view: &mut View, fleet: &mut [Instance], now: u64) {
    for _ in 0..4 {
        for (number, one) in fleet.iter_mut().enumerate() {
            let (said, ask) = one.ask(now, number);
            let answer = view.exchange(now / 1000, &ask);
            one.hear(now, &said, &answer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// Whatever comes late, twice or not at all: no two begin to probe by leave at a time, and once all hear
    /// each other they are as their record says.
    #[test]
    fn one_probes_at_a_time_and_all_come_together(
        steps in prop::collection::vec((0..COUNT, step()), 1..200),
    ) {
        let mut view = View::default();
        let mut fleet: Vec<_> = (0..COUNT as u64).map(|n| Instance::new(n * 777 * MS)).collect();
        let mut wires: Vec<Vec<Sent>> = (0..COUNT).map(|_| Vec::new()).collect();
        let mut now = 0;
        for (number, step) in steps {
            let (one, wire) = (&mut fleet[number], &mut wires[number]);
            match step {
                Step::Pass(time) => now += time,
                Step::Call { failed } => {
                    if one.call(now, failed) {
                        let leave = one.leave;
                        prop_assert!(now < leave, "it probes without leave");
                        let others = fleet.iter().enumerate().filter(|(other, _)| *other != number);
                        prop_assert!(!others.into_iter().any(|(_, other)| other.leave > now));
                    }
                }
                Step::EndProbe { failed } => one.end_probe(now, failed),
                Step::Send => {
                    let (said, ask) = one.ask(now, number);
                    wire.push((said, ask, None));
                }
                Step::Deliver { again } => {
                    if let Some((_, ask, answer)) = wire.iter_mut().find(|sent| again || sent.2.is_none()) {
                        let said = view.exchange(now / 1000, ask);
                        if let Some((_, Stand::Probing { left, is_mine: true })) = said.stand {
                            one.leave = now + left * 1000;
                        } else {
                            one.leave = 0;
                        }
                        *answer = Some(said);
                    }
                }
                Step::Lose => drop(wire.pop()),
                Step::Hear => {
                    // An instance asks one thing at a time: what it has asked before is given up.
                    if let Some(at) = wire.iter().rposition(|sent| sent.2.is_some()) {
                        let (said, _, answer) = wire.swap_remove(at);
                        one.hear(now, &said, &answer.expect("it is there"));
                        wire.truncate(at);
                    }
                }
            }
        }
        all_hear(&mut view, &mut fleet, now);
        let states: Vec<_> = fleet.iter().map(|one| one.machine.state()).collect();
        let is_shut = |state: &State| matches!(state, State::Open | State::HalfOpen);
        prop_assert!(
            states.iter().all(|state| *state == State::Closed) || states.iter().all(is_shut),
            "{:?}", states
        );
        let bases: Vec<_> = fleet.iter().map(|one| one.basis).collect();
        prop_assert!(bases.iter().all(|basis| *basis == bases[0] && basis.is_some()));
        prop_assert!(states.iter().filter(|state| **state == State::HalfOpen).count() <= 1);
    }
}
