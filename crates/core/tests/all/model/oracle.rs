//! What must come of a plan: one event after the other, by the words of the documentation.
//!
//! A program runs until it waits. What it sets off at the same moment takes turns in a queue.
//! Nothing here is concurrent, has a waker or a lock, or looks at the implementation.

use super::plan::{Cut, End, Ms, Plan, Prog, Rule, ScopePlan, Step};
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

    // Programs.

    fn run(&mut self, prog: usize) {
        let now = self.now;
        let state = self.prog(prog);
        state.started.get_or_insert(now);
        let plan = state.plan.unwrap();
        loop {
            let state = self.prog(prog);
            state.waits = Waits::Nothing;
            state.epoch += 1;
            let epoch = state.epoch;
            let Some(step) = plan.steps.get(state.step) else {
                if plan.end == End::Never {
                    state.waits = Waits::ForEver;
                } else {
                    self.finish(prog, plan.end, prog);
                }
                return;
            };
            state.step += 1;
            match self.step(prog, step) {
                Waits::Nothing => {}
                waits => {
                    let state = self.prog(prog);
                    // Running a nested scope may have brought it further already.
                    if state.epoch == epoch && state.fate.is_none() {
                        state.waits = waits;
                    }
                    return;
                }
            }
        }
    }

    fn step(&mut self, prog: usize, step: &'p Step) -> Waits {
        let (scope, epoch) = (self.prog(prog).scope, self.prog(prog).epoch);
        match *step {
            Step::Sleep(time) => {
                self.schedule(time, Event::Wake(prog, epoch));
                Waits::Timer
            }
            Step::Nap(time, cut) => {
                if self.scope(scope).why.is_some() {
                    self.turns.push_back(Turn::Cut(prog, epoch));
                } else {
                    self.schedule(time, Event::Wake(prog, epoch));
                }
                Waits::Nap(cut)
            }
            Step::UntilStop { time, lag } => {
                let is_stopping = self.scope(scope).is_stopped || self.scope(scope).why.is_some();
                if is_stopping {
                    self.turns.push_back(Turn::Stop(prog, epoch));
                } else {
                    self.schedule(time, Event::Wake(prog, epoch));
                }
                Waits::Stop(lag)
            }
            Step::Yield(_) | Step::Spin(_) => Waits::Nothing,
            Step::Spawn { prog: ref task, into, keep } => {
                let into = into.unwrap_or(scope);
                let kept = if self.spawn(task, into) { Kept::Task(task.id) } else { Kept::Refused };
                if keep {
                    self.prog(prog).kept = Some(kept);
                }
                Waits::Nothing
            }
            Step::Await => self.wait_for_kept(prog),
            Step::Block { id, end } => {
                self.block(id, scope, end);
                Waits::Nothing
            }
            Step::Orphan { scope: orphan, body, work, end } => {
                self.orphan(scope, orphan, [body, work], end);
                Waits::Nothing
            }
            Step::Nest { scope: ref nested, under, midway, pass } => {
                self.nest(prog, nested, under.unwrap_or(scope), midway, pass)
            }
            Step::Cancel(other) => {
                if self.scopes[other].is_some() {
                    self.cancel(other, Why::Step(prog), false);
                }
                Waits::Nothing
            }
            Step::Stop(other) => {
                if self.scopes[other].is_some() {
                    self.stop(other);
                }
                Waits::Nothing
            }
            Step::Deadline(other, to) => {
                if self.scopes[other].is_some() {
                    self.set_deadline(other, to);
                }
                Waits::Nothing
            }
        }
    }

    fn cut(&mut self, prog: usize) {
        let state = self.prog(prog);
        state.epoch += 1;
        let (epoch, Waits::Nap(cut)) = (state.epoch, state.waits) else { unreachable!() };
        match cut {
            Cut::End(0, end) => {
                state.has_reacted = true;
                self.finish(prog, end, prog);
            }
            Cut::End(lag, end) => {
                state.waits = Waits::End(end);
                self.schedule(lag, Event::Wake(prog, epoch));
            }
            Cut::GoOn(lag) => {
                state.waits = Waits::Timer;
                self.schedule(lag, Event::Wake(prog, epoch));
            }
        }
    }

    fn stopped(&mut self, prog: usize) {
        let state = self.prog(prog);
        state.epoch += 1;
        let (epoch, Waits::Stop(lag)) = (state.epoch, state.waits) else { unreachable!() };
        state.waits = Waits::Timer;
        self.schedule(lag, Event::Wake(prog, epoch));
    }

    fn new_prog(&mut self, id: usize, plan: Option<&'p Prog>, scope: usize, name: &str) {
        let above = &self.scope(scope).path;
        let path = if name.is_empty() { above.clone() } else { format!("{above}/{name}{id}") };
        self.progs[id] = Some(ProgState {
            plan,
            path,
            scope,
            is_body: name.is_empty(),
            step: 0,
            epoch: 0,
            waits: Waits::Nothing,
            kept: None,
            has_reacted: false,
            started: None,
            fate: None,
        });
    }

    /// Whether the scope admits more work.
    fn admits(&mut self, scope: usize) -> bool {
        let state = self.scope(scope);
        let is_open = state.driver == Driver::Alive || state.live > 0;
        is_open && !state.is_aborting
    }

    fn spawn(&mut self, task: &'p Prog, into: usize) -> bool {
        if self.scopes[into].is_none() {
            return false;
        }
        if !self.admits(into) {
            // It is dropped with its guard, which spawns.
            self.refuse(into, 1 + usize::from(task.respawns));
            return false;
        }
        self.new_prog(task.id, Some(task), into, "t");
        self.scope(into).live += 1;
        self.turns.push_back(Turn::Start(task.id));
        true
    }

    fn wait_for_kept(&mut self, prog: usize) -> Waits {
        match self.prog(prog).kept.take() {
            None => Waits::Nothing,
            Some(Kept::Refused) => {
                self.awaited.push((prog, Awaited::Refused));
                Waits::Nothing
            }
            Some(Kept::Task(task)) => match self.prog(task).fate {
                Some((_, how)) => {
                    self.awaited.push((prog, Awaited::Ended(how)));
                    Waits::Nothing
                }
                None => Waits::Task(task),
            },
        }
    }

    fn block(&mut self, id: usize, scope: usize, end: End) {
        self.new_prog(id, None, scope, "b");
        self.prog(id).started = Some(self.now);
        self.scope(scope).live += 1;
        self.finish(id, end, id);
    }

    /// A scope that is dropped while its work blocks: what becomes of that is the parent's.
    fn orphan(&mut self, parent: usize, id: usize, [body, work]: [usize; 2], end: End) {
        self.new_scope(id, None, Some(parent), None);
        for (prog, name) in [(body, ""), (work, "b")] {
            self.new_prog(prog, None, id, name);
            self.prog(prog).started = Some(self.now);
        }
        self.scope(id).body = Some(body);
        self.scope(id).live += 1;
        self.drop_scope(id);
        self.finish(work, end, work);
    }

    fn nest(
        &mut self,
        prog: usize,
        nested: &'p ScopePlan,
        under: usize,
        midway: Option<Ms>,
        pass: bool,
    ) -> Waits {
        if self.scopes[under].is_none() {
            return Waits::Nothing;
        }
        if !self.admits(under) {
            self.refused.push((nested.id, self.now));
            self.refuse(under, 1);
            if pass {
                self.finish(prog, End::Err, prog);
                return Waits::ForEver;
            }
            return Waits::Nothing;
        }
        if let Some(time) = midway {
            let epoch = self.prog(prog).epoch;
            self.schedule(time, Event::Midway(prog, epoch));
        }
        self.prog(prog).waits = Waits::Scope(nested.id, pass);
        self.open(nested, Some(under), Some(prog));
        Waits::Scope(nested.id, pass)
    }

    /// The end of a program by itself. A panic may have begun in another one.
    fn finish(&mut self, prog: usize, end: End, source: usize) {
        let at = self.now;
        let state = self.prog(prog);
        let how = match end {
            End::Ok => How::Ok,
            End::Err => How::Err,
            End::Panic => How::Panic,
            End::Never => unreachable!(),
        };
        state.fate = Some((at, how));
        let (scope, is_of_body) = (state.scope, state.is_body);
        let (is_panic, is_reaction) = (how == How::Panic, state.has_reacted);
        if how != How::Ok {
            let is_counted = false;
            let fault = Fault { prog, source, is_panic, is_of_body, at, is_reaction, is_counted };
            self.fail(scope, fault);
        }
        let state = self.scope(scope);
        if is_of_body {
            state.has_value = how == How::Ok;
            state.body_panic = is_panic.then_some(source);
            state.body = None;
        } else {
            state.live -= 1;
        }
        self.tell_awaiting(prog, how);
        if self.close_if_empty(scope) {
            // A child wakes the scope, while a body is polled by it.
            let turn = Turn::Closed(scope);
            if is_of_body { self.turns.push_front(turn) } else { self.turns.push_back(turn) }
        }
    }

    fn tell_awaiting(&mut self, prog: usize, how: How) {
        for waiting in 0..self.progs.len() {
            let Some(state) = &self.progs[waiting] else { continue };
            if state.fate.is_none() && matches!(state.waits, Waits::Task(task) if task == prog) {
                self.turns.push_back(Turn::Ended(waiting, state.epoch, how));
            }
        }
    }

    /// A program is dropped where it waits, and with it the scope that it runs.
    fn drop_prog(&mut self, prog: usize) {
        let now = self.now;
        let state = self.prog(prog);
        state.fate = Some((now, How::Dropped));
        if let Waits::Scope(scope, _) = state.waits {
            self.drop_scope(scope);
        }
    }

    fn abort_task(&mut self, prog: usize) {
        self.drop_prog(prog);
        let scope = self.prog(prog).scope;
        let respawns = self.prog(prog).plan.unwrap().respawns;
        self.refuse(scope, usize::from(respawns));
        self.note_aborted(scope, prog);
        self.scope(scope).live -= 1;
        self.tell_awaiting(prog, How::Dropped);
        if self.close_if_empty(scope) {
            self.turns.push_back(Turn::Closed(scope));
        }
    }

    // Scopes.

    fn new_scope(
        &mut self,
        id: usize,
        plan: Option<&'p ScopePlan>,
        parent: Option<usize>,
        runner: Option<usize>,
    ) {
        let is_detached = plan.is_some_and(|plan| plan.detached);
        let (mut why, mut is_stopped, mut above) = (None, false, String::new());
        if let Some(parent) = parent {
            let state = self.scope(parent);
            state.live += 1;
            above.clone_from(&state.path);
            if !is_detached {
                (why, is_stopped) = (state.why, state.is_stopped);
            }
        }
        self.scopes[id] = Some(ScopeState {
            plan,
            path: format!("{above}/s{id}"),
            parent,
            runner,
            body: None,
            has_value: false,
            body_panic: None,
            live: 0,
            driver: Driver::Alive,
            was_dropped: false,
            why,
            is_inherited: why.is_some(),
            is_stopped,
            is_aborting: false,
            deadline: 0,
            cancelled_by: Vec::new(),
            first: None,
            also: Vec::new(),
            tolerated: Vec::new(),
            refused: 0,
            aborted: Vec::new(),
            adopted: Vec::new(),
            outcome: None,
        });
    }

    fn open(&mut self, plan: &'p ScopePlan, parent: Option<usize>, runner: Option<usize>) {
        self.new_scope(plan.id, Some(plan), parent, runner);
        if self.scope(plan.id).why.is_some() {
            self.schedule(plan.grace, Event::Overdue(plan.id));
        }
        if let Some(time) = plan.timeout {
            self.schedule(time, Event::Deadline(plan.id, 0));
        }
        self.new_prog(plan.body.id, Some(&plan.body), plan.id, "");
        self.scope(plan.id).body = Some(plan.body.id);
        self.run(plan.body.id);
    }

    fn set_deadline(&mut self, scope: usize, to: Option<Ms>) {
        self.scope(scope).deadline += 1;
        let epoch = self.scope(scope).deadline;
        if let Some(time) = to {
            self.schedule(time, Event::Deadline(scope, epoch));
        }
    }

    /// What a cancellation or a stop of `scope` reaches: it, and all below that is not detached.
    fn reach(&self, scope: usize) -> Vec<usize> {
        let mut reached = vec![scope];
        let mut next = 0;
        while let Some(&above) = reached.get(next) {
            reached.extend((0..self.scopes.len()).filter(|&below| {
                let Some(state) = &self.scopes[below] else { return false };
                let is_detached = state.plan.is_some_and(|plan| plan.detached);
                state.parent == Some(above) && !is_detached && state.driver == Driver::Alive
            }));
            next += 1;
        }
        reached
    }

    fn cancel(&mut self, scope: usize, why: Why, is_inherited: bool) {
        if self.scope(scope).why.is_some() || !self.is_driven(scope) {
            return;
        }
        for reached in self.reach(scope) {
            let state = self.scope(reached);
            if state.why.is_some() {
                continue;
            }
            state.why = Some(why);
            state.is_inherited = is_inherited || reached != scope;
            if let Some(plan) = state.plan {
                self.schedule(plan.grace, Event::Overdue(reached));
            }
            self.wake_waiting(reached, |waits| matches!(waits, Waits::Nap(_)), Turn::Cut);
            self.wake_waiting(reached, |waits| matches!(waits, Waits::Stop(_)), Turn::Stop);
        }
    }

    fn stop(&mut self, scope: usize) {
        for reached in self.reach(scope) {
            self.scope(reached).is_stopped = true;
            self.wake_waiting(reached, |waits| matches!(waits, Waits::Stop(_)), Turn::Stop);
        }
    }

    fn wake_waiting(
        &mut self,
        scope: usize,
        is_woken: impl Fn(Waits) -> bool,
        turn: impl Fn(usize, u32) -> Turn,
    ) {
        for (id, state) in self.progs.iter().enumerate() {
            let Some(state) = state else { continue };
            if state.scope == scope && state.fate.is_none() && is_woken(state.waits) {
                self.turns.push_back(turn(id, state.epoch));
            }
        }
    }

    /// Enters an error in the nearest scope that is still to return.
    fn fail(&mut self, scope: usize, fault: Fault) {
        let state = self.scope(scope);
        if matches!(state.driver, Driver::Dropped { .. }) {
            let parent = state.parent.unwrap();
            return self.leave_to(parent, Left::Fault(fault));
        }
        let rule = state.rule();
        let collects = rule != Rule::FailFast;
        if rule == Rule::Supervise && !fault.is_of_body {
            let is_counted = state.tolerated.len() >= 16;
            state.tolerated.push(Fault { is_counted, ..fault });
            return;
        }
        let cancels = !collects || fault.is_of_body;
        // At the same moment the other one may have been first.
        let is_first = state.why.is_none();
        let same =
            !fault.is_reaction && state.first.as_ref().is_some_and(|first| first.at == fault.at);
        // Whether there is room beside the body's, and whether its panic goes on, depends on
        // which of the two was first.
        let is_rival = |other: &&Fault| {
            let (body, child) = if fault.is_of_body { (&fault, *other) } else { (*other, &fault) };
            other.at == fault.at
                && (body.is_of_body && !child.is_of_body)
                && (collects || body.is_panic)
        };
        let is_ambiguous = state.faults().any(|other| is_rival(&other));
        if cancels && (is_first || same) {
            state.cancelled_by.push(fault.prog);
        }
        if !collects && state.why.is_none() {
            state.first = Some(fault);
        } else {
            let kept = state.also.iter().filter(|fault| !fault.is_counted).count();
            let is_counted = kept >= state.room() && !fault.is_of_body;
            state.also.push(Fault { is_counted, ..fault });
        }
        self.is_ambiguous |= is_ambiguous;
        if cancels {
            self.cancel(scope, Why::Fault(scope), false);
        }
    }

    fn note_aborted(&mut self, scope: usize, prog: usize) {
        let state = self.scope(scope);
        let parent = state.parent;
        match state.driver {
            Driver::Dropped { by_abort: true } => self.note_aborted(parent.unwrap(), prog),
            Driver::Dropped { by_abort: false } => {
                self.leave_to(parent.unwrap(), Left::Aborted(prog));
            }
            _ => state.aborted.push(prog),
        }
    }

    /// Counts work that was refused, as long as there is a report for it.
    fn refuse(&mut self, scope: usize, count: usize) {
        let state = self.scope(scope);
        match state.parent {
            Some(parent) if state.was_dropped => self.refuse(parent, count),
            _ if state.driver == Driver::Alive => state.refused += count,
            _ => {}
        }
    }

    /// Enters what is left of a scope that was dropped on purpose.
    fn leave_to(&mut self, scope: usize, left: Left) {
        let state = self.scope(scope);
        match (state.driver, state.parent) {
            (Driver::Dropped { .. }, Some(parent)) => self.leave_to(parent, left),
            _ => state.adopted.push(left),
        }
    }

    /// The future of a scope is dropped before it has ended.
    fn drop_scope(&mut self, scope: usize) {
        if let Some(body) = self.scope(scope).body {
            self.drop_prog(body);
        }
        self.cancel(scope, Why::Dropped(scope), false);
        let parent = self.scope(scope).parent.unwrap();
        let by_abort = self.scope(parent).is_aborting;
        let state = self.scope(scope);
        (state.driver, state.body) = (Driver::Dropped { by_abort }, None);
        state.was_dropped = true;
        let also = state.also.drain(..).chain(state.tolerated.drain(..));
        let faults = state.first.take().into_iter().chain(also).map(Left::Fault);
        let left: Vec<_> = faults.chain(state.adopted.drain(..)).collect();
        let refused = std::mem::take(&mut state.refused);
        for aborted in std::mem::take(&mut state.aborted) {
            self.note_aborted(scope, aborted);
        }
        self.refuse(scope, refused);
        for left in left {
            self.leave_to(parent, left);
        }
        self.abort(scope);
        self.close_if_empty(scope);
    }

    /// From now on nothing in `scope`, or below, goes on.
    fn abort(&mut self, scope: usize) {
        let mut next = vec![scope];
        while let Some(scope) = next.pop() {
            if std::mem::replace(&mut self.scope(scope).is_aborting, true) {
                continue;
            }
            for (id, state) in self.progs.iter().enumerate() {
                let Some(state) = state else { continue };
                // Blocking work cannot be dropped.
                let is_task = !state.is_body && state.plan.is_some();
                if state.scope == scope && state.fate.is_none() && is_task {
                    self.turns.push_back(Turn::Abort(id));
                }
            }
            self.turns.push_back(Turn::Driver(scope));
            next.extend((0..self.scopes.len()).filter(|&below| {
                let Some(state) = &self.scopes[below] else { return false };
                state.parent == Some(scope) && (state.driver == Driver::Alive || state.live > 0)
            }));
        }
    }

    /// Whether the body of an aborting scope is dropped by itself rather than with what runs it.
    fn is_doomed_alone(&self, scope: usize) -> bool {
        let state = self.scopes[scope].as_ref().unwrap();
        let is_doomed = state.runner.is_some_and(|runner| self.is_doomed(runner));
        state.driver == Driver::Alive && state.body.is_some() && !is_doomed
    }

    fn overdue(&mut self, scope: usize) {
        self.abort(scope);
        if let Some(body) = self.scope(scope).body {
            self.drop_prog(body);
            self.scope(scope).body = None;
            self.scope(scope).aborted.push(body);
            if self.close_if_empty(scope) {
                self.turns.push_front(Turn::Closed(scope));
            }
        }
    }

    fn is_empty(&self, scope: usize) -> bool {
        let state = self.scopes[scope].as_ref().unwrap();
        state.live == 0 && state.body.is_none() && state.driver != Driver::Closed
    }

    /// The last has left a scope: whether its future is to return.
    fn close_if_empty(&mut self, scope: usize) -> bool {
        if !self.is_empty(scope) || self.is_driven(scope) {
            return self.is_empty(scope);
        }
        self.close(scope);
        false
    }

    fn close(&mut self, scope: usize) {
        self.scope(scope).driver = Driver::Closed;
        if let Some(parent) = self.scope(scope).parent {
            self.scope(parent).live -= 1;
            if self.close_if_empty(parent) {
                self.turns.push_back(Turn::Closed(parent));
            }
        }
    }

    /// The future of a scope looks whether it is empty, and what runs it goes on.
    fn closed(&mut self, scope: usize) {
        let runner = self.scope(scope).runner;
        let is_doomed = runner.is_some_and(|runner| self.is_doomed(runner));
        if !self.is_empty(scope) || !self.is_driven(scope) || is_doomed {
            return;
        }
        let now = self.now;
        let state = self.scope(scope);
        let outcome = state.result();
        state.outcome = Some((now, outcome.clone()));
        self.close(scope);
        let Some(runner) = runner else { return };
        let Waits::Scope(_, pass) = self.prog(runner).waits else { unreachable!() };
        match outcome {
            Outcome::Panic(source) => self.finish(runner, End::Panic, source),
            Outcome::Value => self.run(runner),
            _ if pass => {
                self.prog(runner).has_reacted = matches!(outcome, Outcome::Cancelled(_));
                self.finish(runner, End::Err, runner);
            }
            _ => self.run(runner),
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
