//! Runs a plan: each program in a task, a body or a thread.

use super::{Fault, Guard, ProgRecord, Record, ScopeRecord, Value, World};
use crate::{
    caught::caught,
    model::plan::{Cut, End, Ms, Plan, Prog, Rule, ScopePlan, Step},
};
use std::{
    future::pending,
    pin::Pin,
    sync::{Arc, Mutex, atomic::AtomicUsize, mpsc::sync_channel},
    time::Duration,
};
use tidegate_core::{CancelToken, Cx, OnError, Scope, Supervise, Task, TaskError};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep, timeout},
};

/// Runs the plan in the runtime of the caller until its root has returned.
pub(in crate::model) async fn run(plan: &Plan) -> Arc<World> {
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
