//! What must come of a plan: one event after the other, by the words of the documentation.
//!
//! A program runs until it waits. What it sets off at the same moment takes turns in a queue.
//! Nothing here is concurrent, has a waker or a lock, or looks at the implementation.

mod progs;
mod scopes;

use super::plan::{Cut, End, Ms, Plan, Prog, Rule, ScopePlan};
use std::collections::{BTreeMap, VecDeque};

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Ok,
    Err,
    Panic,
    Dropped,
}

/// Why a scope was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// By the token around the root.
    Outer,
    /// By a step of this program.
    Step(usize),
    /// By a failure in this scope.
    Fault(usize),
    /// By the deadline of this scope.
    Deadline(usize),
    /// Because the future of this scope was dropped.
    Dropped(usize),
}

/// An error or a panic in a scope.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "none of them follows from another")]
pub(super) struct Fault {
    /// The program; `source` is where a panic began that came up through it.
    pub(super) prog: usize,
    pub(super) source: usize,
    pub(super) is_panic: bool,
    pub(super) is_of_body: bool,
    pub(super) at: Ms,
    /// Whether it came of the cancellation of its own scope at that moment.
    pub(super) is_reaction: bool,
    /// Whether there was no room for more than its number.
    pub(super) is_counted: bool,
}

/// What a dropped scope left to the one above.
#[derive(Clone, Debug)]
pub(super) enum Left {
    Fault(Fault),
    Aborted(usize),
}

/// What a scope ends with.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Value,
    /// A panic of the body, which began in this program.
    Panic(usize),
    /// The first is any of these, which came at the same moment.
    Fault(Vec<usize>),
    Cancelled(Why),
    Aborted,
}

/// What an await says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    Ended(How),
    Refused,
}

#[derive(Debug)]
pub(super) struct ProgState<'p> {
    plan: Option<&'p Prog>,
    pub(super) path: String,
    pub(super) scope: usize,
    is_body: bool,
    step: usize,
    /// Counts what it waits for, so that a timer that is out of date is none.
    epoch: u32,
    waits: Waits,
    kept: Option<Kept>,
    has_reacted: bool,
    pub(super) started: Option<Ms>,
    pub(super) fate: Option<(Ms, How)>,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Task(usize),
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Waits {
    Nothing,
    Timer,
    Nap(Cut),
    Stop(Ms),
    End(End),
    Task(usize),
    Scope(usize, bool),
    ForEver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Alive,
    Closed,
    /// The future was dropped; whether an abort from above did it.
    Dropped {
        by_abort: bool,
    },
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "none of them follows from another")]
pub(super) struct ScopeState<'p> {
    plan: Option<&'p ScopePlan>,
    pub(super) path: String,
    pub(super) parent: Option<usize>,
    /// The program that runs it; none for the root.
    runner: Option<usize>,
    body: Option<usize>,
    has_value: bool,
    body_panic: Option<usize>,
    live: usize,
    driver: Driver,
    /// Whether its future was dropped before it ended.
    was_dropped: bool,
    why: Option<Why>,
    is_inherited: bool,
    is_stopped: bool,
    is_aborting: bool,
    deadline: u32,
    /// What cancelled it is any of these, if a failure did.
    pub(super) cancelled_by: Vec<usize>,
    pub(super) first: Option<Fault>,
    pub(super) also: Vec<Fault>,
    pub(super) tolerated: Vec<Fault>,
    /// How often it has refused new work, and scopes below that were dropped.
    pub(super) refused: usize,
    pub(super) aborted: Vec<usize>,
    pub(super) adopted: Vec<Left>,
    pub(super) outcome: Option<(Ms, Outcome)>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Outer,
    Wake(usize, u32),
    Midway(usize, u32),
    Overdue(usize),
    Deadline(usize, u32),
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Start(usize),
    Cut(usize, u32),
    Stop(usize, u32),
    Ended(usize, u32, How),
    Closed(usize),
    Abort(usize),
    Driver(usize),
}

pub(super) struct Oracle<'p> {
    now: Ms,
    events: BTreeMap<(Ms, u64), Event>,
    turns: VecDeque<Turn>,
    scheduled: u64,
    pub(super) progs: Vec<Option<ProgState<'p>>>,
    pub(super) scopes: Vec<Option<ScopeState<'p>>>,
    /// Nested scopes that were not admitted, with the time.
    pub(super) refused: Vec<(usize, Ms)>,
    /// What was awaited, by whom.
    pub(super) awaited: Vec<(usize, Awaited)>,
    /// Whether two things came at the same time by chance: who was first is anybody's guess.
    pub(super) is_ambiguous: bool,
}

/// Predicts a run of `plan`.
pub(super) fn predict(plan: &Plan) -> Oracle<'_> {
    let mut oracle = Oracle {
        now: 0,
        events: BTreeMap::new(),
        turns: VecDeque::new(),
        scheduled: 0,
        progs: (0..plan.progs).map(|_| None).collect(),
        scopes: (0..plan.scopes).map(|_| None).collect(),
        refused: Vec::new(),
        awaited: Vec::new(),
        is_ambiguous: false,
    };
    oracle.schedule(plan.outer, Event::Outer);
    oracle.open(&plan.root, None, None);
    oracle.take_turns();
    let mut before = None;
    while oracle.scopes[0].as_ref().unwrap().outcome.is_none() {
        let ((at, _), event) = oracle.events.pop_first().expect("it ends");
        if oracle.is_current(event) {
            oracle.is_ambiguous |= before == Some(at);
            before = Some(at);
            oracle.now = at;
            oracle.happen(event);
            oracle.take_turns();
        }
    }
    oracle
}

impl<'p> Oracle<'p> {
    fn prog(&mut self, prog: usize) -> &mut ProgState<'p> {
        self.progs[prog].as_mut().unwrap()
    }

    fn scope(&mut self, scope: usize) -> &mut ScopeState<'p> {
        self.scopes[scope].as_mut().unwrap()
    }

    fn schedule(&mut self, after: Ms, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + after, self.scheduled), event);
    }

    fn lives(&self, prog: usize) -> bool {
        self.progs[prog].as_ref().is_some_and(|prog| prog.fate.is_none())
    }

    fn waits(&self, prog: usize, epoch: u32) -> bool {
        let is_current = self.progs[prog].as_ref().is_some_and(|prog| prog.epoch == epoch);
        is_current && self.lives(prog) && !self.is_doomed(prog)
    }

    /// Whether a program is to be dropped, and so does not go on.
    fn is_doomed(&self, prog: usize) -> bool {
        let state = self.progs[prog].as_ref().unwrap();
        let scope = self.scopes[state.scope].as_ref().unwrap();
        let runner = if state.is_body { scope.runner } else { None };
        scope.is_aborting || runner.is_some_and(|runner| self.is_doomed(runner))
    }

    fn is_current(&self, event: Event) -> bool {
        match event {
            Event::Outer => self.scopes[0].as_ref().unwrap().why.is_none(),
            Event::Wake(prog, epoch) | Event::Midway(prog, epoch) => self.waits(prog, epoch),
            Event::Overdue(scope) => self.is_driven(scope),
            Event::Deadline(scope, epoch) => {
                let state = self.scopes[scope].as_ref().unwrap();
                self.is_driven(scope) && state.deadline == epoch && state.why.is_none()
            }
        }
    }

    fn is_driven(&self, scope: usize) -> bool {
        self.scopes[scope].as_ref().unwrap().driver == Driver::Alive
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Outer => self.cancel(0, Why::Outer, true),
            Event::Wake(prog, _) => match self.prog(prog).waits {
                Waits::End(end) => self.finish(prog, end, prog),
                _ => self.run(prog),
            },
            Event::Midway(prog, _) => {
                let Waits::Scope(scope, pass) = self.prog(prog).waits else { unreachable!() };
                self.drop_scope(scope);
                if pass { self.finish(prog, End::Err, prog) } else { self.run(prog) }
            }
            Event::Overdue(scope) => self.overdue(scope),
            Event::Deadline(scope, _) => self.cancel(scope, Why::Deadline(scope), true),
        }
    }

    fn take_turns(&mut self) {
        while let Some(turn) = self.turns.pop_front() {
            match turn {
                Turn::Start(prog) if self.waits(prog, 0) => self.run(prog),
                Turn::Cut(prog, epoch) if self.waits(prog, epoch) => self.cut(prog),
                Turn::Stop(prog, epoch) if self.waits(prog, epoch) => self.stopped(prog),
                Turn::Ended(prog, epoch, how) if self.waits(prog, epoch) => {
                    self.awaited.push((prog, Awaited::Ended(how)));
                    self.run(prog);
                }
                Turn::Closed(scope) => self.closed(scope),
                Turn::Abort(prog) if self.lives(prog) => self.abort_task(prog),
                Turn::Driver(scope) if self.is_doomed_alone(scope) => self.overdue(scope),
                _ => {}
            }
        }
    }
}

impl ScopeState<'_> {
    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.first.iter().chain(&self.also)
    }

    /// Whose failure may be told as the first: the earliest.
    pub(super) fn earliest(&self) -> Vec<usize> {
        let Some(first) = self.first.as_ref().or_else(|| self.also.iter().min_by_key(|f| f.at))
        else {
            return Vec::new();
        };
        // A reaction to what cancelled the scope comes after that, if that was a failure.
        let is_later = |fault: &Fault| fault.is_reaction && self.first.is_some();
        let same = |fault: &&Fault| fault.at == first.at && !is_later(fault);
        let mut earliest: Vec<_> = self.faults().filter(same).map(|fault| fault.prog).collect();
        earliest.push(first.prog);
        earliest
    }

    fn result(&self) -> Outcome {
        let outer = self.why.filter(|_| self.is_inherited);
        if let Some(source) = self.body_panic {
            let begins = self.first.as_ref().or(self.also.first());
            if begins.is_some_and(|fault| fault.is_of_body) {
                return Outcome::Panic(source);
            }
        }
        match (&self.first, outer) {
            (Some(_), _) => Outcome::Fault(self.earliest()),
            (None, Some(why)) => Outcome::Cancelled(why),
            (None, None) if !self.also.is_empty() => Outcome::Fault(self.earliest()),
            (None, None) if self.has_value && self.aborted.is_empty() => Outcome::Value,
            (None, None) => Outcome::Aborted,
        }
    }

    fn rule(&self) -> Rule {
        self.plan.map_or(Rule::FailFast, |plan| plan.rule)
    }

    /// How many errors are kept, beside the first and those of the body.
    fn room(&self) -> usize {
        if let Rule::Collect(max) = self.rule() { max } else { 16 }
    }
}
