//! What becomes of scopes: cancellations, failures, aborts and ends.

use super::{Driver, Event, Fault, Left, Oracle, Outcome, ScopeState, Turn, Waits, Why};
use crate::model::plan::{End, Ms, Rule, ScopePlan};

impl<'p> Oracle<'p> {
    pub(super) fn new_scope(
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

    pub(super) fn open(
        &mut self,
        plan: &'p ScopePlan,
        parent: Option<usize>,
        runner: Option<usize>,
    ) {
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

    pub(super) fn set_deadline(&mut self, scope: usize, to: Option<Ms>) {
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

    pub(super) fn cancel(&mut self, scope: usize, why: Why, is_inherited: bool) {
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

    pub(super) fn stop(&mut self, scope: usize) {
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
    pub(super) fn fail(&mut self, scope: usize, fault: Fault) {
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

    pub(super) fn note_aborted(&mut self, scope: usize, prog: usize) {
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
    pub(super) fn refuse(&mut self, scope: usize, count: usize) {
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
    pub(super) fn drop_scope(&mut self, scope: usize) {
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
    pub(super) fn is_doomed_alone(&self, scope: usize) -> bool {
        let state = self.scopes[scope].as_ref().unwrap();
        let is_doomed = state.runner.is_some_and(|runner| self.is_doomed(runner));
        state.driver == Driver::Alive && state.body.is_some() && !is_doomed
    }

    pub(super) fn overdue(&mut self, scope: usize) {
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

    pub(super) fn is_empty(&self, scope: usize) -> bool {
        let state = self.scopes[scope].as_ref().unwrap();
        state.live == 0 && state.body.is_none() && state.driver != Driver::Closed
    }

    /// The last has left a scope: whether its future is to return.
    pub(super) fn close_if_empty(&mut self, scope: usize) -> bool {
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
    pub(super) fn closed(&mut self, scope: usize) {
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
