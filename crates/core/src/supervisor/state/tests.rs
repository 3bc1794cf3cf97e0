//! The machine against the [oracle](super::oracle), and what only the machine itself can show.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{
    super::{AutoShutdown, EventKind, Exit, ExitKind, Restart, Strategy, policy::Rules},
    Action, ChildId, Kid, Machine, Outcome,
};
use crate::{Backoff, Jitter};
use std::time::Duration;
use tokio::time::Instant;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn rules() -> Rules {
    Rules {
        strategy: Strategy::OneForOne,
        intensity: 5,
        period: secs(5),
        auto_shutdown: AutoShutdown::Never,
        max_children: 8,
        history: 8,
    }
}

fn kid(name: &'static str) -> Kid {
    Kid {
        name: name.into(),
        restart: Restart::Permanent,
        significant: false,
        is_supervisor: false,
        start_timeout: None,
        after: Vec::new(),
        backoff: Backoff::constant(secs(1)).jitter(Jitter::None),
    }
}

fn failed() -> Exit {
    Exit::new(ExitKind::Failed, "failed")
}

fn starts(machine: &mut Machine) -> Vec<(ChildId, u64)> {
    let start = |action| match action {
        Action::Start { id, incarnation } => Some((id, incarnation)),
        _ => None,
    };
    machine.take_actions().into_iter().filter_map(start).collect()
}

#[test]
fn news_of_a_life_that_is_over_changes_nothing() {
    let now = Instant::now();
    let mut machine = Machine::new(rules(), vec![kid("a")], 41, now);
    let [(id, 42)] = starts(&mut machine)[..] else { panic!("numbers go on") };
    machine.ended(id, 42, failed(), now);
    machine.take_actions();
    machine.ended(id, 42, failed(), now);
    machine.ready(id, 42, now);
    machine.never_ready(id, 42, now);
    machine.ended(ChildId(7), 1, failed(), now);
    assert_eq!(machine.take_actions(), []);
    machine.tick(now + secs(1));
    assert_eq!(starts(&mut machine), [(id, 43)]);
    machine.ended(id, 42, failed(), now + secs(1));
    assert_eq!(machine.take_actions(), []);
    assert_eq!(machine.alive(id), Some(43));
}

#[test]
fn no_timer_outlives_its_state() {
    let now = Instant::now();
    let slow = Kid { start_timeout: Some(secs(9)), ..kid("slow") };
    let mut machine = Machine::new(rules(), vec![slow], 0, now);
    let [(id, life)] = starts(&mut machine)[..] else { panic!("one") };
    assert_eq!(machine.next_due(), Some(now + secs(9)));
    machine.ready(id, life, now);
    assert_eq!(machine.next_due(), None);
    machine.ended(id, life, failed(), now);
    assert_eq!(machine.next_due(), Some(now + secs(1)));
    machine.terminate("slow", now).unwrap();
    assert_eq!(machine.next_due(), None);
    machine.restart("slow", now).unwrap();
    machine.stop(now);
    assert_eq!(machine.next_due(), None);
}

#[test]
fn one_that_is_late_holds_up_the_next_until_it_has_ended() {
    let now = Instant::now();
    let slow = Kid { start_timeout: Some(secs(3)), ..kid("slow") };
    let mut machine = Machine::new(rules(), vec![slow, kid("b")], 0, now);
    assert_eq!(starts(&mut machine), [(ChildId(0), 1)]);
    machine.tick(now + secs(3));
    assert_eq!(starts(&mut machine), [], "it is being stopped");
    assert!(!machine.is_up());
    machine.ended(ChildId(0), 1, failed(), now + secs(4));
    assert_eq!(starts(&mut machine), [(ChildId(1), 2)]);
    assert!(machine.is_up(), "the first one has had its start");
}

#[test]
fn one_that_waits_for_another_holds_up_the_next() {
    let now = Instant::now();
    let slow = Kid { start_timeout: Some(secs(3)), ..kid("slow") };
    let waits = Kid { after: vec!["slow".into()], ..kid("waits") };
    let mut machine = Machine::new(rules(), vec![slow, waits, kid("c")], 0, now);
    assert_eq!(starts(&mut machine), [(ChildId(0), 1)]);
    machine.ended(ChildId(0), 1, failed(), now);
    assert_eq!(starts(&mut machine), [], "one is in its backoff, and the next comes after it");
    // What is added, or is started by hand, waits for no turn.
    machine.add(kid("d"), now).unwrap();
    assert_eq!(starts(&mut machine), [(ChildId(3), 2)]);
    machine.tick(now + secs(1));
    assert_eq!(starts(&mut machine), [(ChildId(0), 3)]);
    machine.ready(ChildId(0), 3, now + secs(1));
    assert_eq!(starts(&mut machine), [(ChildId(1), 4), (ChildId(2), 5)]);
}

#[test]
fn what_is_down_already_is_not_terminated_again() {
    let now = Instant::now();
    let mut machine = Machine::new(rules(), vec![kid("a")], 0, now);
    machine.terminate("a", now).unwrap();
    machine.ended(ChildId(0), 1, failed(), now);
    machine.take_actions();
    machine.terminate("a", now + secs(9)).unwrap();
    assert_eq!(machine.take_actions(), []);
    assert_eq!(machine.infos()[0].since, now);
}

#[test]
fn what_it_keeps_is_bounded() {
    // An interpreter takes half a minute for a thousand.
    let lives = if cfg!(miri) { 40 } else { 1000 };
    let mut now = Instant::now();
    let rules = Rules { intensity: 3, ..rules() };
    let mut machine = Machine::new(rules, vec![kid("a")], 0, now);
    for life in 1..lives {
        machine.ended(ChildId(0), life, failed(), now);
        now += secs(2);
        machine.tick(now);
        machine.take_actions();
    }
    assert_eq!(machine.alive(ChildId(0)), Some(lives));
    assert!(machine.history.len() <= 8 && machine.failures.len() <= 3 && machine.due.is_empty());
}

#[test]
fn the_first_reason_to_end_counts_but_for_a_soft_one() {
    let now = Instant::now();
    let machine = || Machine::new(rules(), vec![kid("a")], 0, now);
    let mut stopped = machine();
    stopped.stop(now);
    assert_eq!(stopped.outcome(), None, "a child is alive");
    stopped.cancel(now);
    stopped.stop(now);
    stopped.ended(ChildId(0), 1, failed(), now);
    assert_eq!(stopped.outcome(), Some(&Outcome::Cancelled));
    let mut gave_up = Machine::new(Rules { intensity: 0, ..rules() }, vec![kid("a")], 0, now);
    gave_up.ended(ChildId(0), 1, failed(), now);
    gave_up.cancel(now);
    assert!(matches!(gave_up.outcome(), Some(Outcome::GaveUp(..))));
}

/// An interpreter takes minutes to make up the cases.
#[cfg(not(miri))]
mod against_the_oracle {
    use super::{
        super::oracle::{Oracle, Setup, Toddler},
        Action, AutoShutdown, Backoff, ChildId, Duration, EventKind, Exit, Instant, Jitter, Kid,
        Machine, Outcome, Restart, Rules, Strategy as Group, failed as failed_exit, secs,
    };
    use proptest::prelude::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn child(n: usize, bits: u32, auto: AutoShutdown, before: &[String]) -> Toddler {
        let restart = match bits % 5 {
            0..=2 => Restart::Permanent,
            3 => Restart::Transient,
            _ => Restart::Temporary,
        };
        let may_be = auto != AutoShutdown::Never && restart != Restart::Permanent;
        let after = before.iter().enumerate().filter(|(n, _)| bits >> (10 + n) & 3 == 3);
        Toddler {
            name: NAMES[n].to_owned(),
            restart,
            significant: may_be && bits & 0x40 > 0,
            time_to_start: (bits & 0x180 == 0x180).then_some(1 + u64::from(bits >> 20 & 3)),
            after: after.map(|(_, name)| name.clone()).collect(),
            delay: u64::from(bits >> 22 & 3),
        }
    }

    fn kid_of(child: &Toddler, delays: u32) -> Kid {
        let backoff = Backoff::exponential(secs(child.delay)).max(Duration::MAX);
        Kid {
            name: child.name.clone().into(),
            restart: child.restart,
            significant: child.significant,
            is_supervisor: false,
            start_timeout: child.time_to_start.map(secs),
            after: child.after.iter().map(|name| name.clone().into()).collect(),
            backoff: backoff.jitter(Jitter::None).limit(delays),
        }
    }

    /// The machine and the oracle, told the same.
    struct Pair {
        oracle: Oracle,
        machine: Machine,
        setup: Setup,
        begun: Instant,
        now: u64,
    }

    impl Pair {
        fn new(setup: Setup, children: Vec<Toddler>) -> Self {
            let rules = Rules {
                strategy: setup.strategy,
                intensity: u32::try_from(setup.intensity).unwrap(),
                period: secs(setup.period),
                auto_shutdown: setup.auto,
                max_children: setup.max,
                history: 4,
            };
            let kids = children.iter().map(|child| kid_of(child, setup.delays)).collect();
            let begun = Instant::now();
            let machine = Machine::new(rules, kids, 0, begun);
            let oracle = Oracle::new(setup.clone(), children);
            Self { oracle, machine, setup, begun, now: 0 }
        }

        fn life(&self, name: &str) -> (ChildId, u64) {
            let id = self.machine.id_of(name).unwrap();
            (id, self.machine.alive(id).unwrap())
        }

        /// One event, made up of three numbers.
        fn act(&mut self, (what, which, bits): (u8, u8, u32)) {
            let pick = |names: Vec<String>| match names.len() {
                0 => None,
                len => Some(names[usize::from(which) % len].clone()),
            };
            let now = self.begun + secs(self.now);
            match what {
                0..=34 => {
                    let Some(name) = pick(self.oracle.alive()) else { return };
                    let (failed, (id, life)) = (bits % 3 > 0, self.life(&name));
                    let exit = if failed { failed_exit() } else { Exit::finished() };
                    self.oracle.ended(&name, failed);
                    self.machine.ended(id, life, exit, now);
                }
                35..=49 => {
                    let Some(name) = pick(self.oracle.starting()) else { return };
                    let (id, life) = self.life(&name);
                    if bits % 3 > 0 {
                        self.oracle.ready(&name);
                        self.machine.ready(id, life, now);
                    } else {
                        self.oracle.never_ready(&name);
                        self.machine.never_ready(id, life, now);
                    }
                }
                50..=69 => {
                    let due = self.oracle.next_due().unwrap_or(self.now);
                    self.now = if bits % 2 > 0 { due } else { self.now + u64::from(bits >> 8 & 3) };
                    self.oracle.pass(self.now);
                    self.machine.tick(self.begun + secs(self.now));
                }
                70..=97 => {
                    self.by_hand(what, pick(self.oracle.names()).as_deref(), which, bits, now);
                }
                98 => {
                    self.oracle.stop();
                    self.machine.stop(now);
                }
                _ => {
                    self.oracle.cancel();
                    self.machine.cancel(now);
                }
            }
        }

        fn by_hand(&mut self, what: u8, name: Option<&str>, which: u8, bits: u32, now: Instant) {
            let name = name.unwrap_or("x");
            let done = match what {
                70..=77 => (self.oracle.terminate(name), self.machine.terminate(name, now).is_ok()),
                78..=85 => (self.oracle.restart(name), self.machine.restart(name, now).is_ok()),
                86..=90 => (self.oracle.delete(name), self.machine.delete(name, now).is_ok()),
                _ => {
                    let n = usize::from(which) % NAMES.len();
                    let child = child(n, bits, self.setup.auto, &self.oracle.names());
                    let kid = kid_of(&child, self.setup.delays);
                    (self.oracle.add(child), self.machine.add(kid, now).is_ok())
                }
            };
            assert_eq!(done.0, done.1, "whether it was done");
        }

        /// Both say the same.
        fn compare(&mut self) -> Result<(), TestCaseError> {
            let infos = self.machine.infos();
            let actions = self.machine.take_actions();
            let name = |id: ChildId| {
                let index = self.machine.index(id).unwrap();
                self.machine.children[index].kid.name.to_string()
            };
            let states: Vec<_> =
                infos.iter().map(|info| format!("{} {}", info.name, info.state)).collect();
            prop_assert_eq!(states, self.oracle.states());
            let log: Vec<_> = actions
                .into_iter()
                .filter_map(|action| match action {
                    Action::Start { id, .. } => Some(format!("start {}", name(id))),
                    Action::Stop { id, hard: true, .. } => Some(format!("stop {}", name(id))),
                    Action::Stop { id, hard: false, .. } => Some(format!("ask {}", name(id))),
                    Action::Tell(event) => match event.kind {
                        EventKind::Restarting { others, .. } => {
                            Some(format!("again {} with {others}", event.child))
                        }
                        _ => None,
                    },
                    Action::Forget(_) => None,
                })
                .collect();
            prop_assert_eq!(log, std::mem::take(&mut self.oracle.log));
            let due = self.machine.next_due().map(|at| (at - self.begun).as_secs());
            prop_assert_eq!(due, self.oracle.next_due());
            let outcome = self.machine.outcome().map(|outcome| match outcome {
                Outcome::Stopped => "stopped".to_owned(),
                Outcome::Cancelled => "cancelled".to_owned(),
                Outcome::Significant(name, _) => format!("significant {name}"),
                Outcome::GaveUp(name, ..) => format!("gave up {name}"),
            });
            prop_assert_eq!(outcome, self.oracle.outcome());
            prop_assert_eq!(self.machine.is_ending(), self.oracle.is_over());
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]
        #[test]
        fn the_machine_does_what_the_tables_say(
            strategy in 0_u8..3,
            auto in 0_u8..6,
            intensity in 0_usize..8,
            period in 1_u64..12,
            delays in 1_u32..6,
            children in prop::collection::vec(any::<u32>(), 0..5),
            events in prop::collection::vec((0_u8..100, any::<u8>(), any::<u32>()), 0..80),
        ) {
            let setup = Setup {
                strategy: match strategy {
                    0 => Group::OneForOne,
                    1 => Group::OneForAll,
                    _ => Group::RestForOne,
                },
                auto: match auto {
                    0 => AutoShutdown::AnySignificant,
                    1 | 2 => AutoShutdown::AllSignificant,
                    _ => AutoShutdown::Never,
                },
                intensity,
                period,
                max: 6,
                delays,
            };
            let mut family: Vec<Toddler> = Vec::new();
            for (n, bits) in children.into_iter().enumerate() {
                let before: Vec<_> = family.iter().map(|child| child.name.clone()).collect();
                family.push(child(n, bits, setup.auto, &before));
            }
            let mut pair = Pair::new(setup, family);
            pair.compare()?;
            for event in events {
                pair.act(event);
                pair.compare()?;
            }
        }
    }
}
