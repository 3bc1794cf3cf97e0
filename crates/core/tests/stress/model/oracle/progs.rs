//! What programs do, step by step, and how they end.

use super::{Awaited, Driver, Event, Fault, How, Kept, Oracle, ProgState, Turn, Waits, Why};
use crate::model::plan::{Cut, End, Ms, Prog, ScopePlan, Step};

impl<'p> Oracle<'p> {
    pub(super) fn run(&mut self, prog: usize) {
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

    pub(super) fn cut(&mut self, prog: usize) {
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

    pub(super) fn stopped(&mut self, prog: usize) {
        let state = self.prog(prog);
        state.epoch += 1;
        let (epoch, Waits::Stop(lag)) = (state.epoch, state.waits) else { unreachable!() };
        state.waits = Waits::Timer;
        self.schedule(lag, Event::Wake(prog, epoch));
    }

    pub(super) fn new_prog(&mut self, id: usize, plan: Option<&'p Prog>, scope: usize, name: &str) {
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
    pub(super) fn finish(&mut self, prog: usize, end: End, source: usize) {
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
    pub(super) fn drop_prog(&mut self, prog: usize) {
        let now = self.now;
        let state = self.prog(prog);
        state.fate = Some((now, How::Dropped));
        if let Waits::Scope(scope, _) = state.waits {
            self.drop_scope(scope);
        }
    }

    pub(super) fn abort_task(&mut self, prog: usize) {
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
}
