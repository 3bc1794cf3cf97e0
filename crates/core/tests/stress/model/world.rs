//! What came of a run: who began and ended when, and what scopes returned.

mod play;

pub(super) use self::play::run;
use super::{
    oracle::{Awaited, How},
    plan::{End, Ms},
};
use std::{
    fmt,
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tidegate_core::{Cause, Cx, JoinReport, Reason, TaskError, TaskInfo};
use tokio::time::Instant;

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
