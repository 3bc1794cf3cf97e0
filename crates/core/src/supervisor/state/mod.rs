//! The supervisor as a state machine: no clock, no task, no lock. Time comes in as an argument,
//! and what is to be done comes out as a list of actions.
//!
//! Each call looks at one event, and then takes, in [`settle`](Machine::settle), all steps that
//! have become possible: the next stop of a group in reverse order, or else the starts in order.

mod by_hand;
mod child;
mod failure;

#[cfg(all(test, not(tidegate_loom), not(miri)))]
mod oracle;
#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use self::child::{Child, Doom, Next, State};
pub(super) use self::child::{ChildId, Kid};
use super::{
    ChildInfo, ControlError, Event, EventKind, Exit, ExitKind, Limit, StopReason, policy::Rules,
};
use crate::{Backoff, Name};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Later than any program runs, and not so late that a clock or a timer overflows: 30 years.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

pub(super) struct Machine {
    rules: Rules,
    begun: Instant,
    /// In the order of start, and so of their numbers.
    children: Vec<Child>,
    next_id: u64,
    last_incarnation: u64,
    /// Those of children that are gone included.
    restarts: u64,
    /// When children leave their state by themselves.
    due: BTreeSet<(Instant, ChildId)>,
    /// When children were to be started again, for the intensity: as many as that at most.
    failures: VecDeque<Instant>,
    ending: Option<Ending>,
    history: VecDeque<Event>,
    actions: Vec<Action>,
}

/// What the shell has to do. Those of one call come in the order in which they must be done.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Start {
        id: ChildId,
        incarnation: u64,
    },
    /// A child that was asked softly may be asked again.
    Stop {
        id: ChildId,
        reason: StopReason,
        hard: bool,
    },
    /// Its specification is needed no more.
    Forget(ChildId),
    Tell(Event),
}

struct Ending {
    outcome: Outcome,
    hard: bool,
}

/// Why the supervisor ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was told to stop.
    Stopped,
    Cancelled,
    /// A significant child ended.
    Significant(Name, Exit),
    GaveUp(Name, Exit, Limit),
}

fn after(now: Instant, delay: Duration) -> Instant {
    now + delay.min(FAR)
}

impl Machine {
    /// A supervisor that has just begun, with children in their order of start.
    pub(super) fn new(rules: Rules, kids: Vec<Kid>, last_incarnation: u64, now: Instant) -> Self {
        let mut machine = Self {
            rules,
            begun: now,
            children: Vec::with_capacity(kids.len()),
            next_id: 0,
            last_incarnation,
            restarts: 0,
            due: BTreeSet::new(),
            failures: VecDeque::new(),
            ending: None,
            history: VecDeque::new(),
            actions: Vec::new(),
        };
        for kid in kids {
            machine.push(kid, false, now);
        }
        machine.settle(now);
        machine
    }

    fn push(&mut self, kid: Kid, alone: bool, now: Instant) -> ChildId {
        let id = ChildId(self.next_id);
        self.next_id += 1;
        let ids = kid.after.iter().filter_map(|name| self.find(name.as_str()));
        let after = ids.map(|index| self.children[index].id).collect();
        self.children.push(Child::new(id, kid, after, alone, now));
        id
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`tick`](Self::tick) is to be called next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The end, once nothing is alive.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        let ending = self.ending.as_ref()?;
        (!self.children.iter().any(Child::is_alive)).then_some(&ending.outcome)
    }

    pub(super) fn ending(&self) -> Option<&Outcome> {
        self.ending.as_ref().map(|ending| &ending.outcome)
    }

    /// The children, in the order of start.
    pub(super) fn ids(&self) -> impl Iterator<Item = ChildId> {
        self.children.iter().map(|child| child.id)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub(super) fn last_incarnation(&self) -> u64 {
        self.last_incarnation
    }

    pub(super) fn last_event(&self) -> Option<Event> {
        self.history.back().cloned()
    }

    pub(super) fn history(&self) -> Vec<Event> {
        self.history.iter().cloned().collect()
    }

    pub(super) fn infos(&self) -> Vec<ChildInfo> {
        self.children.iter().map(Child::info).collect()
    }

    /// Whether all children have had their start.
    pub(super) fn is_up(&self) -> bool {
        // One that gives up was never up, or is so no more.
        self.ending.is_none() && self.children.iter().all(Child::has_had_its_start)
    }

    /// How many children are up, alive, and there; and how many restarts there were.
    pub(super) fn counts(&self) -> [u64; 4] {
        let count = |is: fn(&Child) -> bool| self.children.iter().filter(|child| is(child)).count();
        let up = count(|child| child.state == State::Up);
        let [up, alive, all] = [up, count(Child::is_alive), self.children.len()]
            .map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        [up, alive, all, self.restarts]
    }

    pub(super) fn id_of(&self, name: &str) -> Option<ChildId> {
        self.find(name).map(|index| self.children[index].id)
    }

    /// The number of the life that runs.
    pub(super) fn alive(&self, id: ChildId) -> Option<u64> {
        let child = &self.children[self.index(id)?];
        child.is_alive().then_some(child.incarnation)
    }

    /// What has become of an order to start it again after that life; none, as long as it is on
    /// its way.
    pub(super) fn restarted(
        &self,
        id: ChildId,
        incarnation: u64,
    ) -> Option<Result<(), ControlError>> {
        let child = self.index(id).map(|index| &self.children[index]);
        if child.is_some_and(|child| child.incarnation > incarnation) {
            return Some(Ok(()));
        }
        if self.is_ending() {
            return Some(Err(ControlError::NotRunning));
        }
        // Otherwise a later order has taken its place.
        let is_down = child.is_none_or(|child| matches!(child.state, State::Down { .. }));
        is_down.then_some(Ok(()))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.children.iter().position(|child| child.kid.name.as_str() == name)
    }

    fn index(&self, id: ChildId) -> Option<usize> {
        self.children.binary_search_by_key(&id, |child| child.id).ok()
    }

    /// The child whose life that is, if it is its last and has not ended.
    fn living(&self, id: ChildId, incarnation: u64) -> Option<usize> {
        let index = self.index(id)?;
        let child = &self.children[index];
        (child.is_alive() && child.incarnation == incarnation).then_some(index)
    }

    /// A child said that it is up.
    pub(super) fn ready(&mut self, id: ChildId, incarnation: u64, now: Instant) {
        if let Some(index) = self.living(id, incarnation) {
            if matches!(self.children[index].state, State::Starting { .. }) {
                self.enter(index, State::Up, now);
                self.children[index].up = Some(now);
                self.tell(index, EventKind::Up, now);
            }
        }
        self.settle(now);
    }

    /// A child cannot say any more that it is up.
    pub(super) fn never_ready(&mut self, id: ChildId, incarnation: u64, now: Instant) {
        if let Some(index) = self.living(id, incarnation) {
            self.fail_to_start(index, "ended its `Ready` without a word that it is up", now);
        }
        self.settle(now);
    }

    fn fail_to_start(&mut self, index: usize, text: &str, now: Instant) {
        if !matches!(self.children[index].state, State::Starting { .. }) {
            return;
        }
        let exit = Exit::new(ExitKind::NotReady, text);
        match self.children[index].doom {
            // It is to end in its turn.
            Some(_) => self.enter(index, State::Up, now),
            None => self.ask(index, Next::Fail(exit), false, StopReason::NotReady, now),
        }
    }

    /// A child has ended, and everything in its scope.
    pub(super) fn ended(&mut self, id: ChildId, incarnation: u64, exit: Exit, now: Instant) {
        if let Some(index) = self.living(id, incarnation) {
            self.tell(index, EventKind::Ended(exit.clone()), now);
            let child = &mut self.children[index];
            child.exit = Some(exit.clone());
            let doom = child.doom.take().map(|doom| doom.next);
            let next = match &child.state {
                State::Stopping { next, .. } => Some(next.clone()),
                _ => doom,
            };
            match next {
                Some(next) => self.go_on(index, next, now),
                None => self.ended_by_itself(index, exit, now),
            }
        }
        self.settle(now);
    }

    /// A child that was asked to end has.
    fn go_on(&mut self, index: usize, next: Next, now: Instant) {
        match next {
            Next::Start { at, alone } => {
                self.enter(index, State::Backoff { until: at, alone }, now);
            }
            Next::Down { by_hand } => self.lay_down(index, by_hand, now),
            Next::Remove => self.remove(index, now),
            Next::Fail(exit) => self.ended_by_itself(index, exit, now),
        }
    }

    fn lay_down(&mut self, index: usize, by_hand: bool, now: Instant) {
        self.enter(index, State::Down { by_hand }, now);
        if by_hand {
            self.tell(index, EventKind::Terminated, now);
        }
    }

    fn remove(&mut self, index: usize, now: Instant) {
        self.enter(index, State::Down { by_hand: false }, now);
        self.tell(index, EventKind::Removed, now);
        let child = self.children.remove(index);
        self.actions.push(Action::Forget(child.id));
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.settle(now);
    }

    /// The supervisor is told to stop: its children are asked to, one after the other.
    pub(super) fn stop(&mut self, now: Instant) {
        self.end(Outcome::Stopped, now);
        self.settle(now);
    }

    /// The supervisor is cancelled, whether or not it was told to stop.
    pub(super) fn cancel(&mut self, now: Instant) {
        match &mut self.ending {
            Some(ending) if !ending.hard => {
                *ending = Ending { outcome: Outcome::Cancelled, hard: true };
            }
            _ => self.end(Outcome::Cancelled, now),
        }
        self.settle(now);
    }

    /// The first reason to end counts.
    fn end(&mut self, outcome: Outcome, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(Ending { hard: outcome != Outcome::Stopped, outcome });
        for index in 0..self.children.len() {
            let child = &mut self.children[index];
            match &mut child.state {
                State::Starting { .. } | State::Up => {
                    let next = Next::Down { by_hand: false };
                    child.doom = Some(Doom { next, reason: StopReason::Shutdown });
                }
                State::Stopping { next, group, .. } => {
                    *group = true;
                    if matches!(next, Next::Start { .. } | Next::Fail(_)) {
                        *next = Next::Down { by_hand: false };
                    }
                }
                State::Queued { .. } | State::Backoff { .. } => {
                    self.enter(index, State::Down { by_hand: false }, now);
                }
                State::Down { .. } => {}
            }
        }
    }

    /// Takes all steps that are possible.
    fn settle(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.due.first() {
            if at > now {
                break;
            }
            self.due.remove(&(at, id));
            if let Some(index) = self.index(id) {
                self.fire(index, now);
            }
        }
        if !self.stop_in_turn(now) && self.ending.is_none() {
            self.start_in_turn(now);
        }
    }

    /// The time of a child's state is over.
    fn fire(&mut self, index: usize, now: Instant) {
        match self.children[index].state {
            State::Backoff { alone, .. } => self.enter(index, State::Queued { alone }, now),
            State::Starting { .. } => {
                let time = self.children[index].kid.start_timeout.unwrap_or_default();
                self.fail_to_start(index, &format!("was not up within {time:?}"), now);
            }
            _ => {}
        }
    }

    /// Stops the last child that is to be, when those after it have ended. Returns whether a
    /// group is being stopped.
    fn stop_in_turn(&mut self, now: Instant) -> bool {
        let must_be_hard = self.ending.as_ref().is_none_or(|ending| ending.hard);
        for index in (0..self.children.len()).rev() {
            let child = &mut self.children[index];
            match &mut child.state {
                State::Stopping { group: true, hard, .. } => {
                    if must_be_hard && !*hard {
                        *hard = true;
                        let (id, reason) = (child.id, StopReason::Shutdown);
                        self.actions.push(Action::Stop { id, reason, hard: true });
                    }
                    return true;
                }
                State::Starting { .. } | State::Up => {
                    if let Some(Doom { next, reason }) = child.doom.take() {
                        self.ask(index, next, true, reason, now);
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// Asks a child to end.
    fn ask(&mut self, index: usize, next: Next, group: bool, reason: StopReason, now: Instant) {
        let hard = self.ending.as_ref().is_none_or(|ending| ending.hard);
        self.enter(index, State::Stopping { next, group, hard }, now);
        self.tell(index, EventKind::Stopping(reason.clone()), now);
        let id = self.children[index].id;
        self.actions.push(Action::Stop { id, reason, hard });
    }

    fn start_in_turn(&mut self, now: Instant) {
        let mut must_wait = false;
        for index in 0..self.children.len() {
            if let State::Queued { alone } = self.children[index].state {
                if (alone || !must_wait) && !self.is_held_up(index) {
                    self.start(index, now);
                }
            }
            must_wait |= !self.children[index].has_had_its_start();
        }
    }

    /// Whether one that it comes after is on its way.
    fn is_held_up(&self, index: usize) -> bool {
        let mut before = self.children[index].after.iter().filter_map(|id| self.index(*id));
        before.any(|before| self.children[before].is_coming())
    }

    fn start(&mut self, index: usize, now: Instant) {
        self.last_incarnation += 1;
        let incarnation = self.last_incarnation;
        let child = &mut self.children[index];
        let again = u64::from(child.incarnation > 0);
        child.restarts += again;
        self.restarts += again;
        child.incarnation = incarnation;
        let id = child.id;
        let state = match child.kid.start_timeout {
            Some(time) => State::Starting { by: after(now, time) },
            None => State::Up,
        };
        child.up = (state == State::Up).then_some(now);
        self.enter(index, state, now);
        self.actions.push(Action::Start { id, incarnation });
        self.tell(index, EventKind::Started, now);
    }

    /// The one place where a state is left: no timer outlives it.
    fn enter(&mut self, index: usize, state: State, now: Instant) {
        let child = &mut self.children[index];
        let timer = |state: &State| match state {
            State::Backoff { until: at, .. } | State::Starting { by: at } => Some(*at),
            _ => None,
        };
        if let Some(at) = timer(&child.state) {
            self.due.remove(&(at, child.id));
        }
        if let Some(at) = timer(&state) {
            self.due.insert((at, child.id));
        }
        child.state = state;
        child.since = now;
    }

    fn tell(&mut self, index: usize, kind: EventKind, now: Instant) {
        let child = &self.children[index];
        let (name, incarnation) = (child.kid.name.clone(), child.incarnation);
        let uptime = now.saturating_duration_since(self.begun);
        let event = Event { child: name, incarnation, at: now, uptime, kind };
        if self.rules.history > 0 {
            if self.history.len() == self.rules.history {
                self.history.pop_front();
            }
            self.history.push_back(event.clone());
        }
        self.actions.push(Action::Tell(event));
    }

    fn backoff(&mut self, index: usize) -> &mut Backoff {
        &mut self.children[index].kid.backoff
    }
}
