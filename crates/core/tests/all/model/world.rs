//! Runs a plan for real, and writes down what came of it.

use super::{
    oracle::{Awaited, How},
    plan::{Cut, End, Ms, Plan, Prog, Rule, ScopePlan, Step},
};
use crate::losses::caught;
use std::{
    fmt,
    future::pending,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{
    CancelToken, Cause, Cx, JoinReport, OnError, Reason, Scope, Supervise, Task, TaskError,
    TaskInfo,
};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep, timeout},
};

/// The error of a program, by its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) usize);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// When something happened: on the clock, and in the order of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Ms,
    pub(super) turn: usize,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "none of them follows from another")]
pub(super) struct ProgRecord {
    /// The path of its scope.
    pub(super) scope: String,
    pub(super) scope_id: usize,
    pub(super) is_blocking: bool,
    pub(super) is_body: bool,
    pub(super) is_refused: bool,
    /// Whether new work was admitted when it was dropped.
    pub(super) has_respawned: bool,
    pub(super) made: usize,
    pub(super) started: Option<Ms>,
    pub(super) ended: Vec<(Moment, How)>,
}

#[derive(Debug, Default)]
pub(super) struct ScopeRecord {
    pub(super) opened: Option<Ms>,
    pub(super) parent: Option<usize>,
    pub(super) returned: Option<(Moment, Returned)>,
}

/// What came out of a scope.
#[derive(Debug)]
pub(super) enum Returned {
    Panic(String),
    /// None, if it was a value.
    Told(Option<Told>, Box<JoinReport<Fault>>),
}

/// What a reason says, and of which work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Failed(String, usize),
    Panicked(String, String),
    Cancelled(Arc<Cancelled>),
    Aborted,
}

#[derive(Debug)]
pub(super) struct Cancelled(pub(super) Cause);

impl PartialEq for Cancelled {
    fn eq(&self, other: &Self) -> bool {
        self.0.same(&other.0)
    }
}

impl Eq for Cancelled {}

impl Told {
    pub(super) fn new(reason: &Reason<Fault>) -> Self {
        match reason {
            Reason::Failed(failure) => Self::Failed(path(failure.task()), failure.error().0),
            Reason::Panicked(panic) => {
                Self::Panicked(path(panic.task()), panic.message().to_owned())
            }
            Reason::Cancelled(cause) => Self::Cancelled(Arc::new(Cancelled(cause.clone()))),
            Reason::Aborted => Self::Aborted,
            _ => unreachable!("a new reason"),
        }
    }

    /// The path of the work that failed.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Self::Failed(path, _) | Self::Panicked(path, _) => Some(path),
            _ => None,
        }
    }
}

fn path(task: &TaskInfo) -> String {
    task.path().to_owned()
}

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) progs: Vec<ProgRecord>,
    pub(super) scopes: Vec<ScopeRecord>,
    pub(super) awaited: Vec<(usize, Awaited)>,
    pub(super) handles: Vec<Option<Cx<Fault>>>,
}

#[derive(Debug)]
pub(super) struct World {
    begun: Instant,
    turn: AtomicUsize,
    /// Values that nobody has dropped yet.
    values: AtomicUsize,
    record: Mutex<Record>,
}

/// What a program returns: it has a destructor.
#[derive(Debug)]
struct Value(Arc<World>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.values.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a program owns: its destructor tells how it ended.
struct Guard {
    world: Arc<World>,
    prog: usize,
    how: How,
    /// Where it spawns when it is dropped before its end.
    respawns: Option<Cx<Fault>>,
}

impl Guard {
    fn start(&self) {
        let at = self.world.now();
        self.world.with(|record| record.progs[self.prog].started = Some(at));
    }

    fn end(mut self, end: End) -> Result<Value, Fault> {
        match end {
            End::Ok => {
                self.how = How::Ok;
                Ok(self.world.value())
            }
            End::Err => {
                self.how = How::Err;
                Err(Fault(self.prog))
            }
            End::Panic => {
                let message = format!("panic of p{}", self.prog);
                self.panic(message)
            }
            End::Never => unreachable!("it does not end"),
        }
    }

    /// Panics without a word on the console.
    fn panic(mut self, message: String) -> ! {
        self.how = How::Panic;
        drop(self);
        resume_unwind(Box::new(message))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (How::Dropped, Some(cx)) = (self.how, self.respawns.take()) {
            let mut refused = cx.spawn("late", async { Ok(()) });
            let mut polled = std::pin::pin!(&mut refused);
            let polled = polled.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let is_refused = matches!(polled, Poll::Ready(Err(TaskError::Cancelled(_))));
            self.world.with(|record| record.progs[self.prog].has_respawned = !is_refused);
        }
        let ended = (self.world.moment(), self.how);
        self.world.with(|record| record.progs[self.prog].ended.push(ended));
    }
}

/// What a scope returns that does not panic.
type Ended = (Result<Value, Reason<Fault>>, JoinReport<Fault>);

/// Runs the plan in the runtime of the caller until its root has returned.
pub(super) async fn run(plan: &Plan) -> Arc<World> {
    let mut record = Record::default();
    record.progs.resize_with(plan.progs, ProgRecord::default);
    record.scopes.resize_with(plan.scopes, ScopeRecord::default);
    record.handles.resize_with(plan.scopes, || None);
    let world = Arc::new(World {
        begun: Instant::now(),
        turn: AtomicUsize::new(0),
        values: AtomicUsize::new(0),
        record: Mutex::new(record),
    });
    let token = CancelToken::new();
    let root = configured(&plan.root).token(&token);
    let root = root.run_with_report(body(&world, &plan.root, None));
    let cancel = async {
        sleep(Duration::from_millis(plan.outer)).await;
        token.cancel("outer");
        pending::<()>().await;
    };
    let returned = tokio::select! {
        biased;
        returned = caught(root) => returned,
        () = cancel => unreachable!("it never ends"),
    };
    world.returned(plan.root.id, returned);
    world
}

fn configured(plan: &ScopePlan) -> Scope {
    let mut scope =
        Scope::builder(format!("s{}", plan.id)).grace(Duration::from_millis(plan.grace));
    if let Some(time) = plan.timeout {
        scope = scope.timeout(Duration::from_millis(time));
    }
    match plan.rule {
        Rule::FailFast => scope,
        Rule::Collect(max) => scope.on_error(OnError::Collect { max }),
        Rule::Supervise => scope.policy(Supervise),
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Value, Fault>> + Send>>;

/// The body of a scope, which lives from its first poll on.
fn body(
    world: &Arc<World>,
    plan: &Arc<ScopePlan>,
    parent: Option<usize>,
) -> impl FnOnce(Cx<Fault>) -> Running + use<> {
    let (world, plan) = (Arc::clone(world), Arc::clone(plan));
    move |cx| {
        world.opened(plan.id, parent, &cx);
        let guard = world.guard(plan.body.id, plan.id, &cx);
        world.with(|record| record.progs[plan.body.id].is_body = true);
        program(guard, cx, plan.id, Arc::clone(&plan.body))
    }
}

fn program(guard: Guard, cx: Cx<Fault>, scope: usize, prog: Arc<Prog>) -> Running {
    Box::pin(async move {
        guard.start();
        let world = Arc::clone(&guard.world);
        let mut kept = None;
        for step in &prog.steps {
            match perform(&world, &cx, scope, prog.id, step, &mut kept).await {
                Ok(()) => {}
                Err(Over::End(end)) => return guard.end(end),
                Err(Over::Panic(message)) => guard.panic(message),
            }
        }
        if prog.end == End::Never {
            pending::<()>().await;
        }
        guard.end(prog.end)
    })
}

/// A program is over before its last step.
enum Over {
    End(End),
    Panic(String),
}

enum Kept {
    Task(Task<Value, Fault>),
    Ended(Result<Value, TaskError<Fault>>),
}

async fn perform(
    world: &Arc<World>,
    cx: &Cx<Fault>,
    scope: usize,
    prog: usize,
    step: &Step,
    kept: &mut Option<Kept>,
) -> Result<(), Over> {
    match *step {
        Step::Sleep(time) => pause(time).await,
        Step::Nap(time, cut) => {
            if cx.run(pause(time)).await.is_err() {
                return react(cut).await;
            }
        }
        Step::UntilStop { time, lag } => {
            let is_stopped = tokio::select! {
                biased;
                _ = cx.stopping() => true,
                () = pause(time) => false,
            };
            if is_stopped {
                pause(lag).await;
            }
        }
        Step::Yield(times) => {
            for _ in 0..times {
                yield_now().await;
            }
        }
        Step::Spin(times) => (0..times).for_each(|_| std::hint::spin_loop()),
        Step::Spawn { prog: ref task, into, keep } => {
            let into = into.map_or(Some((scope, cx.clone())), |id| world.handle(id));
            if let Some((id, into)) = into {
                let task = spawn(world, &into, id, task).await;
                if keep {
                    *kept = Some(task);
                }
            }
        }
        Step::Await => match kept.take() {
            None => {}
            Some(Kept::Task(task)) => world.awaited(prog, task.await),
            Some(Kept::Ended(result)) => world.awaited(prog, result),
        },
        Step::Block { id, end } => block(world, cx, scope, id, end).await,
        Step::Orphan { scope: id, body, work, end } => {
            orphan(world, cx, scope, id, [body, work], end).await;
        }
        Step::Nest { scope: ref nested, under, midway, pass } => {
            if let Some((id, under)) =
                under.map_or(Some((scope, cx.clone())), |id| world.handle(id))
            {
                return nest(world, nested, (id, under), midway, pass).await;
            }
        }
        Step::Cancel(other) => {
            if let Some((_, other)) = world.handle(other) {
                other.cancel(format!("by p{prog}!"));
            }
        }
        Step::Stop(other) => {
            if let Some((_, other)) = world.handle(other) {
                other.stop(format!("by p{prog}!"));
            }
        }
        Step::Deadline(other, to) => {
            if let Some((_, other)) = world.handle(other) {
                other.set_deadline(to.map(|to| Instant::now() + Duration::from_millis(to)));
            }
        }
    }
    Ok(())
}

async fn spawn(world: &Arc<World>, into: &Cx<Fault>, scope: usize, prog: &Arc<Prog>) -> Kept {
    let mut guard = world.guard(prog.id, scope, into);
    guard.respawns = prog.respawns.then(|| into.clone());
    let future = program(guard, into.clone(), scope, Arc::clone(prog));
    let mut task = into.spawn(format!("t{}", prog.id), future);
    refused(world, prog.id, &mut task).await.map_or(Kept::Task(task), Kept::Ended)
}

async fn block(world: &Arc<World>, cx: &Cx<Fault>, scope: usize, id: usize, end: End) {
    let guard = world.guard(id, scope, cx);
    world.with(|record| record.progs[id].is_blocking = true);
    let mut work = cx.spawn_blocking(format!("b{id}"), move || {
        guard.start();
        guard.end(end)
    });
    if refused(world, id, &mut work).await.is_none() {
        drop(work.await);
    }
}

/// What a task that has ended already says; if it was refused, that is written down.
async fn refused(
    world: &World,
    prog: usize,
    task: &mut Task<Value, Fault>,
) -> Option<Result<Value, TaskError<Fault>>> {
    let ended = if task.is_finished() { Some(task.await) } else { None };
    if matches!(ended, Some(Err(TaskError::Cancelled(_)))) {
        world.with(|record| record.progs[prog].is_refused = true);
    }
    ended
}

async fn pause(time: Ms) {
    sleep(Duration::from_millis(time)).await;
}

async fn react(cut: Cut) -> Result<(), Over> {
    match cut {
        Cut::End(0, end) => Err(Over::End(end)),
        Cut::End(lag, end) => {
            pause(lag).await;
            Err(Over::End(end))
        }
        Cut::GoOn(lag) => {
            pause(lag).await;
            Ok(())
        }
    }
}

async fn nest(
    world: &Arc<World>,
    nested: &Arc<ScopePlan>,
    (parent, under): (usize, Cx<Fault>),
    midway: Option<Ms>,
    pass: bool,
) -> Result<(), Over> {
    let mut scope = configured(nested).parent(&under);
    if nested.detached {
        scope = scope.without_cancel();
    }
    let running = caught(scope.run_with_report(body(world, nested, Some(parent))));
    let returned = match midway {
        None => running.await,
        Some(time) => match timeout(Duration::from_millis(time), running).await {
            Ok(returned) => returned,
            Err(_elapsed) if pass => return Err(Over::End(End::Err)),
            Err(_elapsed) => return Ok(()),
        },
    };
    let is_error = matches!(returned, Ok((Err(_), _)));
    match world.returned(nested.id, returned) {
        Some(message) => Err(Over::Panic(message)),
        None if is_error && pass => Err(Over::End(End::Err)),
        None => Ok(()),
    }
}

/// Drops a scope while its work blocks, and lets the work end when the scope is gone.
async fn orphan(
    world: &Arc<World>,
    cx: &Cx<Fault>,
    parent: usize,
    id: usize,
    [body, work]: [usize; 2],
    end: End,
) {
    let (begun, has_begun) = oneshot::channel();
    let (let_go, held) = sync_channel::<()>(1);
    let own = Arc::clone(world);
    let nested = Scope::builder(format!("s{id}")).parent(cx);
    // The body is made before its first poll: another thread may abort it in between.
    let nested = nested.run_with_report(move |cx: Cx<Fault>| {
        own.opened(id, Some(parent), &cx);
        let own_guard = own.guard(body, id, &cx);
        own.with(|record| record.progs[body].is_body = true);
        async move {
            own_guard.start();
            let guard = own.guard(work, id, &cx);
            own.with(|record| record.progs[work].is_blocking = true);
            let mut task = cx.spawn_blocking(format!("b{work}"), move || {
                guard.start();
                // Whoever listens may have been dropped meanwhile.
                begun.send(()).ok();
                held.recv().ok();
                guard.end(end)
            });
            refused(&own, work, &mut task).await;
            pending::<Result<Value, Fault>>().await
        }
    });
    let has_begun = tokio::select! {
        biased;
        // It was refused, or is being aborted.
        returned = nested => {
            world.returned(id, Ok(returned));
            return;
        }
        begun = has_begun => begun.is_ok(),
    };
    if !has_begun {
        return;
    }
    for _ in 0..3 {
        yield_now().await;
    }
    assert!(cx.live() > 0, "what lives in a dropped scope lives in the one above it");
    let_go.send(()).ok();
    // Until it has ended: work that blocks does not stop the clock of a busy runtime.
    let mut left = true;
    while left {
        yield_now().await;
        left = world.with(|record| record.progs[work].ended.is_empty());
    }
}

impl World {
    fn now(&self) -> Ms {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now(), turn: self.turn.fetch_add(1, Ordering::SeqCst) }
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Record) -> T) -> T {
        f(&mut self.record.lock().unwrap())
    }

    pub(super) fn values(&self) -> usize {
        self.values.load(Ordering::SeqCst)
    }

    fn value(self: &Arc<Self>) -> Value {
        self.values.fetch_add(1, Ordering::SeqCst);
        Value(Arc::clone(self))
    }

    fn guard(self: &Arc<Self>, prog: usize, scope: usize, cx: &Cx<Fault>) -> Guard {
        let path = cx.path();
        self.with(|record| {
            let state = &mut record.progs[prog];
            (state.scope, state.scope_id) = (path, scope);
            state.made += 1;
        });
        Guard { world: Arc::clone(self), prog, how: How::Dropped, respawns: None }
    }

    fn opened(&self, scope: usize, parent: Option<usize>, cx: &Cx<Fault>) {
        let at = self.now();
        self.with(|record| {
            record.handles[scope] = Some(cx.clone());
            record.scopes[scope].opened = Some(at);
            record.scopes[scope].parent = parent;
        });
    }

    /// A scope by its number, if it was opened.
    fn handle(&self, scope: usize) -> Option<(usize, Cx<Fault>)> {
        self.with(|record| record.handles[scope].clone()).map(|cx| (scope, cx))
    }

    fn awaited(&self, prog: usize, result: Result<Value, TaskError<Fault>>) {
        let awaited = match result {
            Ok(_) => Awaited::Ended(How::Ok),
            Err(TaskError::Failed(_)) => Awaited::Ended(How::Err),
            Err(TaskError::Panicked(_)) => Awaited::Ended(How::Panic),
            Err(TaskError::Aborted) => Awaited::Ended(How::Dropped),
            Err(TaskError::Cancelled(_)) => Awaited::Refused,
            Err(error) => panic!("{error}"),
        };
        self.with(|record| record.awaited.push((prog, awaited)));
    }

    /// Writes down what a scope returned; its panic, if it was one.
    fn returned(&self, scope: usize, returned: Result<Ended, String>) -> Option<String> {
        let moment = self.moment();
        let (returned, panic) = match returned {
            Err(message) => (Returned::Panic(message.clone()), Some(message)),
            Ok((result, report)) => {
                let told = result.err().map(|reason| Told::new(&reason));
                (Returned::Told(told, Box::new(report)), None)
            }
        };
        self.with(|record| record.scopes[scope].returned = Some((moment, returned)));
        panic
    }
}
