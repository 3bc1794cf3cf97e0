//! Driving a supervisor: what its machine decides is done here, and what happens is told to it.

use super::{
    ChildSpec, ControlError, EventKind, Fatal, StopReason, SupervisorError,
    builder::{Core, Shared},
    event::Timeless,
    handle::{Answer, Command, What},
    life::{Life, Post},
    mailbox::{End, Mail},
    state::{Action, ChildId, Machine, Outcome},
};
use crate::{
    CancelToken, Cause, CauseKind, Cx, Ready, Scope,
    cancel::SharedError,
    inspect::{Resource, Rough},
    observe,
    panic::{drop_quietly, quietly},
    path::below,
    rt::consume_budget,
    scope::{Placed, Timer},
    sync::Arc,
};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    panic::Location,
    pin::pin,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// Runs a supervisor in a scope of its own.
pub(super) async fn run_in(
    shared: Arc<Shared>,
    scope: Scope<Placed>,
) -> Result<(), SupervisorError> {
    let mut outcome = None;
    let result = &mut outcome;
    let ended = scope.run(async |cx: Cx<SupervisorError>| {
        *result = Some(supervise(&shared, &cx, None).await);
        Ok(())
    });
    let ended = ended.await;
    // A cancellation of the scope is no news to what it was cancelled with, but for an abort.
    outcome.unwrap_or_else(|| {
        let cause = ended.err().and_then(|error| error.cause().cloned());
        Err(SupervisorError::Cancelled(cause.unwrap_or_else(|| Cause::new(CauseKind::ScopeClosed))))
    })
}

/// Runs a supervisor as the body of a scope. It is `ready` when its children are up.
pub(super) async fn supervise(
    shared: &Arc<Shared>,
    cx: &Cx<SupervisorError>,
    mut ready: Option<Ready<()>>,
) -> Result<(), SupervisorError> {
    let mut run = Run::begin(shared, cx)?;
    let token = cx.token().clone();
    let mut stopping = pin!(token.stopping());
    let mut cancelled = pin!(token.cancelled());
    let (mut is_stopped, mut is_cancelled) = (false, false);
    let mut timer = Timer::default();
    while run.outcome().is_none() {
        // Children that fail at once, again and again, leave others their turn.
        consume_budget().await;
        if run.is_up() {
            // Nobody may wait for it any more.
            ready.take().map(|ready| ready.up(()));
        }
        let due = run.next_due();
        let wake = poll_fn(|cx| {
            run.forget_unwanted(cx);
            if !is_cancelled && cancelled.as_mut().poll(cx).is_ready() {
                is_cancelled = true;
                return Poll::Ready(Wake::Cancelled);
            }
            if !is_stopped && stopping.as_mut().poll(cx).is_ready() {
                is_stopped = true;
                return Poll::Ready(Wake::Stopped);
            }
            if let Poll::Ready(mail) = shared.mail.poll(cx) {
                return Poll::Ready(Wake::Mail(mail));
            }
            timer.poll(due, cx).map(|()| Wake::Due)
        });
        match wake.await {
            Wake::Cancelled => run.step(|core, now| core.machine(|machine| machine.cancel(now))),
            Wake::Stopped => run.step(|core, now| core.machine(|machine| machine.stop(now))),
            Wake::Due => run.step(|core, now| core.machine(|machine| machine.tick(now))),
            Wake::Mail(mail) => mail.into_iter().for_each(|letter| run.read(letter)),
        }
    }
    run.finish()
}

enum Wake {
    Cancelled,
    Stopped,
    Mail(Vec<Mail<Command>>),
    Due,
}

/// One run. Dropping it leaves nobody waiting for it.
struct Run<'a> {
    shared: &'a Arc<Shared>,
    cx: &'a Cx<SupervisorError>,
    /// How to stop the children that are alive.
    tokens: BTreeMap<ChildId, CancelToken>,
    waiting: Vec<Waiting>,
    /// The error that made it end.
    fatal: Option<Arc<dyn SharedError>>,
    _resource: Resource,
}

/// A command that is done when a child has come so far.
struct Waiting {
    id: ChildId,
    until: Until,
    answer: Answer,
}

enum Until {
    /// This life of it has ended.
    Ended(u64),
    /// It was started after this one.
    StartedAfter(u64),
}

impl Until {
    /// None, if it has not come so far.
    fn result(&self, machine: &Machine, id: ChildId) -> Option<Result<(), ControlError>> {
        match *self {
            Self::Ended(life) => (machine.alive(id) != Some(life)).then_some(Ok(())),
            Self::StartedAfter(life) => machine.restarted(id, life),
        }
    }
}

/// Who asked for what is being done, and why.
#[derive(Clone, Copy)]
struct ByHand {
    kind: CauseKind,
    at: &'static Location<'static>,
}

impl Core {
    fn machine<R: Default>(&mut self, f: impl FnOnce(&mut Machine) -> R) -> R {
        self.machine.as_mut().map(f).unwrap_or_default()
    }
}

impl<'a> Run<'a> {
    fn begin(
        shared: &'a Arc<Shared>,
        cx: &'a Cx<SupervisorError>,
    ) -> Result<Self, SupervisorError> {
        if !shared.mail.open() {
            return Err(SupervisorError::Running);
        }
        let kids = shared.children.iter().map(|spec| spec.kid(&shared.backoff)).collect();
        let now = Instant::now();
        let seen = Arc::clone(shared);
        let name = shared.name.clone();
        let details = Box::new(move || details(&seen));
        let resource = Resource::register("supervisor", name, shared.at, Some(details));
        let mut run = Self {
            shared,
            cx,
            tokens: BTreeMap::new(),
            waiting: Vec::new(),
            fatal: None,
            _resource: resource,
        };
        let former = run.shared.with(|core| {
            // Numbers of lives go on, so that news of an earlier run is none of this one.
            let last = core.machine.as_ref().map_or(0, Machine::last_incarnation);
            let machine = Machine::new(shared.rules.clone(), kids, last, now);
            let specs = machine.ids().zip(shared.children.iter().cloned()).collect();
            core.machine = Some(machine);
            std::mem::replace(&mut core.specs, specs)
        });
        drop_quietly(former);
        run.step(|_, _| ());
        Ok(run)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.shared.with(|core| core.machine.as_ref().and_then(Machine::outcome).cloned())
    }

    fn is_up(&self) -> bool {
        self.shared.with(|core| core.machine(|machine| machine.is_up()))
    }

    fn next_due(&self) -> Option<Instant> {
        self.shared.with(|core| core.machine(|machine| machine.next_due()))
    }

    fn step<R>(&mut self, change: impl FnOnce(&mut Core, Instant) -> R) -> R {
        self.step_by(None, change)
    }

    /// Tells the machine of something, and does what it says.
    fn step_by<R>(
        &mut self,
        by: Option<ByHand>,
        change: impl FnOnce(&mut Core, Instant) -> R,
    ) -> R {
        let now = Instant::now();
        let (result, todo) = self.shared.with(|core| {
            let result = change(core, now);
            let actions = core.machine(Machine::take_actions);
            let todo: Vec<_> = actions
                .into_iter()
                .map(|action| match action {
                    Action::Start { id, incarnation } => {
                        Todo::Start(id, incarnation, core.specs.get(&id).cloned())
                    }
                    Action::Forget(id) => Todo::Forget(core.specs.remove(&id)),
                    Action::Stop { id, reason, hard } => Todo::Stop(id, reason, hard),
                    Action::Tell(event) => Todo::Tell(event),
                })
                .collect();
            (result, todo)
        });
        for todo in todo {
            match todo {
                Todo::Start(id, incarnation, Some(spec)) => self.start(id, incarnation, &spec),
                Todo::Start(_, _, None) => {}
                Todo::Stop(id, reason, hard) => self.stop(id, &reason, hard, by),
                Todo::Forget(spec) => drop_quietly(spec),
                Todo::Tell(event) => self.tell(&event),
            }
        }
        self.answer();
        result
    }

    fn tell(&self, event: &super::Event) {
        match event.kind() {
            EventKind::Restarting { after, .. } => {
                observe::restarting(&self.path_of(event.child().as_str()), *after);
            }
            EventKind::GaveUp(limit) => {
                observe::gave_up(&self.cx.path(), event.child().as_str(), limit);
            }
            _ => {}
        }
        if let Some(observer) = &self.shared.observer {
            quietly(|| observer(event));
        }
    }

    fn path_of(&self, child: &str) -> String {
        below(self.cx.path(), &child.to_owned().into())
    }

    fn start(&mut self, id: ChildId, incarnation: u64, spec: &ChildSpec) {
        let token = CancelToken::new();
        let name = spec.name.clone();
        let scope = Scope::builder(name.clone())
            .parent(self.cx)
            .grace(spec.stop_grace)
            .supervised(token.clone(), spec.at);
        let (ready, told) = spec.is_starting().then(Ready::channel).unzip();
        let life = Life {
            running: (spec.body)(scope, ready),
            told,
            token: token.clone(),
            post: Post::new(self.shared, id, incarnation),
        };
        self.tokens.insert(id, token);
        self.cx.spawn_at(name, spec.at, life);
    }

    fn stop(&mut self, id: ChildId, reason: &StopReason, hard: bool, by: Option<ByHand>) {
        let Some(token) = self.tokens.get(&id) else { return };
        let cause = self.cause(id, reason, by);
        if hard {
            token.cancel(cause);
        } else {
            token.stop(cause);
        }
    }

    fn cause(&self, id: ChildId, reason: &StopReason, by: Option<ByHand>) -> Cause {
        let spec = |core: &mut Core| core.specs.get(&id).map(|spec| (spec.name.clone(), spec.at));
        let (own, at) = match self.shared.with(spec) {
            Some((name, at)) => (self.path_of(name.as_str()), at),
            None => (self.cx.path(), Location::caller()),
        };
        let of = |kind, origin, at, why: String| Cause::of_child(kind, origin, at, Some(why), None);
        match reason {
            StopReason::ByHand => {
                let by = by.unwrap_or(ByHand { kind: CauseKind::Shutdown, at });
                of(by.kind, own, by.at, "by hand".to_owned())
            }
            StopReason::Sibling { child, exit } => {
                of(CauseKind::Restart, self.path_of(child.as_str()), at, exit.to_string())
            }
            StopReason::NotReady => of(CauseKind::Restart, own, at, "it is not up".to_owned()),
            StopReason::Shutdown => {
                // What comes down from outside keeps its own cause.
                let token = self.cx.token();
                token
                    .cause()
                    .or_else(|| token.stop_cause())
                    .unwrap_or_else(|| of(CauseKind::Shutdown, self.cx.path(), at, self.why()))
            }
        }
    }

    /// Why it ends by itself.
    fn why(&self) -> String {
        let ending = |core: &mut Core| core.machine(|machine| machine.ending().cloned());
        match self.shared.with(ending) {
            Some(Outcome::GaveUp(child, _, limit)) => format!("gave up on {child}: {limit}"),
            Some(Outcome::Significant(child, exit)) => format!("{child} ended: {exit}"),
            _ => String::new(),
        }
    }

    fn read(&mut self, letter: Mail<Command>) {
        match letter {
            Mail::Ready { id, incarnation } => {
                self.step(|core, now| core.machine(|machine| machine.ready(id, incarnation, now)));
            }
            Mail::NeverReady { id, incarnation } => self.step(|core, now| {
                core.machine(|machine| machine.never_ready(id, incarnation, now));
            }),
            Mail::Ended { id, incarnation, end } => self.ended(id, incarnation, end),
            Mail::Command(command) => self.obey(command),
        }
    }

    fn ended(&mut self, id: ChildId, incarnation: u64, end: End) {
        let End { exit, error } = end;
        // There is one life of a child at a time, and the next has a token of its own.
        self.tokens.remove(&id);
        let made_it_end = self.step(|core, now| {
            core.machine(|machine| {
                let was_ending = machine.is_ending();
                machine.ended(id, incarnation, exit, now);
                !was_ending && machine.is_ending()
            })
        });
        if made_it_end {
            self.fatal = error;
        } else {
            drop_quietly(error);
        }
    }

    fn obey(&mut self, command: Command) {
        let Command { what, at, answer } = command;
        let by = |kind| Some(ByHand { kind, at });
        let none = || Err(ControlError::NotRunning);
        let done = match what {
            What::Add(spec) => {
                let kid = spec.kid(&self.shared.backoff);
                let mut spec = Some(spec);
                let added = self.step(|core, now| {
                    let machine = core.machine.as_mut().ok_or(ControlError::NotRunning)?;
                    let id = machine.add(kid, now)?;
                    core.specs.extend(spec.take().map(|spec| (id, *spec)));
                    Ok(())
                });
                drop_quietly(spec);
                added.map(|()| None)
            }
            What::Terminate(name) => self.step_by(by(CauseKind::Shutdown), |core, now| {
                let machine = core.machine.as_mut().ok_or(ControlError::NotRunning)?;
                let id = machine.terminate(&name, now)?;
                Ok(machine.alive(id).map(|alive| (id, Until::Ended(alive))))
            }),
            What::Restart(name) => self.step_by(by(CauseKind::Restart), |core, now| {
                let machine = core.machine.as_mut().ok_or(ControlError::NotRunning)?;
                let (id, last) = machine.restart(&name, now)?;
                Ok(Some((id, Until::StartedAfter(last))))
            }),
            What::Delete(name) => self
                .step(|core, now| {
                    core.machine.as_mut().map_or_else(none, |machine| machine.delete(&name, now))
                })
                .map(|()| None),
        };
        match done {
            Ok(Some((id, until))) => self.waiting.push(Waiting { id, until, answer }),
            Ok(None) => answer.give(Ok(())),
            Err(error) => answer.give(Err(error)),
        }
        self.answer();
    }

    /// Lets go of commands whose caller has gone, which would keep others from asking.
    fn forget_unwanted(&mut self, cx: &mut Context<'_>) {
        self.waiting.retain_mut(|waiting| waiting.answer.poll_unwanted(cx).is_pending());
    }

    /// Answers the commands that are done.
    fn answer(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let seen: Vec<_> = self.shared.with(|core| {
            let machine = core.machine.as_ref();
            let see = |waiting: Waiting| {
                let result = machine.map_or(Some(Err(ControlError::NotRunning)), |machine| {
                    waiting.until.result(machine, waiting.id)
                });
                (waiting, result)
            };
            waiting.into_iter().map(see).collect()
        });
        for (waiting, result) in seen {
            match result {
                Some(result) => waiting.answer.give(result),
                None => self.waiting.push(waiting),
            }
        }
    }

    fn finish(mut self) -> Result<(), SupervisorError> {
        let error = self.fatal.take();
        let fatal = |name: &str, exit, limit| {
            let history = self.shared.with(|core| core.machine(|machine| machine.history()));
            Box::new(Fatal { path: self.path_of(name), exit, limit, error, history })
        };
        match self.outcome() {
            Some(Outcome::GaveUp(child, exit, limit)) => {
                Err(SupervisorError::GaveUp(fatal(child.as_str(), exit, Some(limit))))
            }
            Some(Outcome::Significant(child, exit)) if exit.is_failure() => {
                Err(SupervisorError::Significant(fatal(child.as_str(), exit, None)))
            }
            Some(Outcome::Cancelled) => {
                let cause = self.cx.cause();
                let closed = || Cause::new(CauseKind::ScopeClosed);
                Err(SupervisorError::Cancelled(cause.unwrap_or_else(closed)))
            }
            Some(Outcome::Stopped | Outcome::Significant(..)) | None => Ok(()),
        }
    }
}

/// An action with what it needs, taken out of the lock.
enum Todo {
    Start(ChildId, u64, Option<ChildSpec>),
    Stop(ChildId, StopReason, bool),
    Forget(Option<ChildSpec>),
    Tell(super::Event),
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // Children may hold handles, which hold what is shared.
        let specs = self.shared.with(|core| std::mem::take(&mut core.specs));
        drop_quietly((self.shared.mail.close(), specs));
        // Nobody else tells them, if this is dropped by a panic: the scope of each is its own.
        for token in self.tokens.values().rev() {
            let (path, at) = (self.cx.path(), Location::caller());
            token.cancel(Cause::of_scope(CauseKind::ScopeDropped, path, at));
        }
    }
}

/// What a snapshot shows.
fn details(shared: &Shared) -> Vec<(&'static str, String)> {
    let (counts, last) =
        shared.with(|core| core.machine(|machine| (machine.counts(), machine.last_event())));
    let [up, alive, children, restarts] = counts.map(|count| count.to_string());
    let strategy = ("strategy", shared.rules.strategy.to_string());
    let mut details = vec![
        strategy,
        ("up", up),
        ("alive", alive),
        ("children", children),
        ("restarts", restarts),
    ];
    if let Some(last) = last {
        // An error of several lines must not become several lines of the snapshot.
        let what = Timeless(&last).to_string().replace('\n', " ");
        let age = Rough(last.at().elapsed());
        details.push(("last", format!("{what} ({age} ago)")));
    }
    details
}

#[cfg(all(test, not(any(miri, tidegate_loom, tidegate_shuttle))))]
#[path = "run_tests.rs"]
mod tests;
