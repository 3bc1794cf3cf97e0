//! Whole scopes under schedules of shuttle's making: run with `--cfg tidegate_shuttle`.
//!
//! A program here is made of real scopes on the model of the runtime in [`crate::rt`]. It says
//! which way its race went, and [`explore`] sees to it that each way was gone. Whatever the
//! schedule, these hold: nothing of a scope lives when it returns, it has one first cause, no
//! error is lost or told twice, and nobody waits for ever, which shuttle finds by itself.
//!
//! Panics that are meant go past the hook (`resume_unwind`), which would print each of them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "allowed in tests, of which clippy takes only functions with `#[test]`"
)]

mod cancels;
mod drops;
mod ends;
mod limits;
mod trees;

use super::{Cx, Reason, Scope, ScopeError, TaskInfo, Unplaced};
use crate::{
    CauseKind,
    sync::{Arc, unmodelled},
};
use shuttle::{
    Config, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
};
use std::{
    collections::BTreeMap,
    env,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::{Duration, SystemTime},
};

pub(crate) type Error = &'static str;

/// How many schedules of each kind, unless `TIDEGATE_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 5000;

/// How many steps a program is interrupted after, at most, by the scheduler that looks for what
/// few interruptions do.
const DEPTH: usize = 3;

/// Runs a program under many schedules: half of them random at each step, and half with few
/// interruptions at random steps. Each of `ways` must be the outcome of one, and nothing else.
///
/// `TIDEGATE_SEED` repeats a run. `TIDEGATE_SCHEDULE` repeats one schedule, as shuttle prints it
/// for the one that failed.
fn explore<F>(name: &'static str, ways: &[&str], program: fn() -> F)
where
    F: Future<Output = String> + 'static,
{
    let _others = STATICS.read().unwrap_or_else(PoisonError::into_inner);
    run(name, ways, program);
}

/// The same for a program that goes through a table of the whole process: what others have there
/// belongs to their schedules.
pub(crate) fn search_alone<F>(name: &'static str, ways: &[&str], program: fn() -> F)
where
    F: Future<Output = String> + 'static,
{
    let _alone = STATICS.write().unwrap_or_else(PoisonError::into_inner);
    run(name, ways, program);
}

static STATICS: RwLock<()> = RwLock::new(());

fn run<F>(name: &'static str, ways: &[&str], program: fn() -> F)
where
    F: Future<Output = String> + 'static,
{
    let gone = Arc::new(unmodelled::Mutex::new(BTreeMap::<String, usize>::new()));
    let count = Arc::clone(&gone);
    let go = move || {
        let way = shuttle::future::block_on(program());
        *unmodelled::lock(&count).entry(way).or_default() += 1;
    };
    if let Ok(schedule) = env::var("TIDEGATE_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(schedule.trim()), config()).run(go);
        return println!("shuttle: {name} went {:?}", unmodelled::lock(&gone));
    }
    let (seed, schedules) = (seed(), number("TIDEGATE_SCHEDULES").unwrap_or(SCHEDULES));
    let schedules = usize::try_from(schedules).expect("a number of schedules");
    println!("shuttle: {name} TIDEGATE_SEED={seed:#x}");
    let random = RandomScheduler::new_from_seed(seed, schedules);
    let interrupting = PctScheduler::new_from_seed(seed, DEPTH, schedules);
    let iterations =
        Runner::new(random, config()).run(go.clone()) + Runner::new(interrupting, config()).run(go);
    let gone = unmodelled::lock(&gone);
    println!("shuttle-iterations: {name} {iterations} {gone:?}");
    assert!(gone.keys().eq(ways), "{name} went {gone:?}, and not each of {ways:?}");
}

fn config() -> Config {
    let mut config = Config::new();
    // Futures of three scopes, one in the other, in a build without optimisation.
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(100_000);
    // That it takes all orderings for the strictest: weaker ones are loom's to explore.
    config.silence_warnings = true;
    config
}

fn seed() -> u64 {
    let fresh = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs() ^ u64::from(now.subsec_nanos()) << 32)
    };
    number("TIDEGATE_SEED").unwrap_or_else(fresh)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Counts what is alive in a program. It is no part of the schedule.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<AtomicUsize>);

pub(crate) struct Living(Alive);

impl Alive {
    pub(crate) fn one(&self) -> Living {
        self.0.fetch_add(1, Ordering::Relaxed);
        Living(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A scope that waits for its children for ever: no timer helps where a wake-up is lost.
pub(crate) fn patient(name: &'static str) -> Scope<Unplaced> {
    Scope::builder(name).grace(Duration::MAX)
}

/// One whose children are aborted at any moment after it was cancelled.
fn hasty(name: &'static str) -> Scope<Unplaced> {
    Scope::builder(name).grace(Duration::from_secs(1))
}

/// Panics without a word.
fn blow_up(message: Error) -> ! {
    resume_unwind(Box::new(message))
}

/// Catches what a future panics with.
async fn caught<F: Future>(future: F) -> thread::Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}

/// The output of `future`, unless `signal` is ready first: it is dropped then.
async fn unless<F: Future>(signal: impl Future, future: F) -> Option<F::Output> {
    let (mut signal, mut future) = (pin!(signal), Box::pin(future));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => signal.as_mut().poll(cx).map(|_| None),
    })
    .await
}

/// What is ready at some moment.
pub(crate) async fn sometime() {
    crate::rt::spawn(async {}).await.expect("nobody aborts it");
}

/// What a scope says, in short.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// What came first.
    first: String,
    /// All errors and panics, that one among them.
    faults: Vec<String>,
    aborted: Vec<String>,
    /// The same of nested scopes that were dropped.
    adopted: Vec<String>,
    adopted_aborted: Vec<String>,
}

/// Takes a result apart, and checks what holds for each: what came first is the cause of the
/// cancellation.
fn said<T>(cx: &Cx<Error>, result: Result<T, ScopeError<Error>>) -> Said {
    let error = result.err().expect("the scope failed");
    assert_eq!(error.report().more() + error.report().adopted_more(), 0, "there was room");
    let cause = cx.cause().expect("a scope that failed is cancelled");
    let origin = match error.reason() {
        Reason::Failed(failure) => Some((CauseKind::ChildFailed, failure.task().path())),
        Reason::Panicked(panic) => Some((CauseKind::ChildPanicked, panic.task().path())),
        _ => None,
    };
    // After the scope has cancelled itself an error is the reason, but not the cause.
    let is_own = cause.kind() == CauseKind::Explicit;
    if let Some((kind, path)) = origin.filter(|_| !is_own) {
        assert_eq!((cause.kind(), cause.origin()), (kind, Some(path)), "one first cause");
    }
    let report = error.report();
    let name = |task: &TaskInfo| task.name().to_string();
    let (lost, faults): (Vec<_>, Vec<_>) =
        report.adopted().iter().partition(|adopted| adopted.is_aborted());
    let adopted = faults.into_iter().map(|adopted| match adopted.panic() {
        Some(panic) => panic.message().to_owned(),
        None => adopted.downcast_ref::<Error>().expect("it is no other").to_string(),
    });
    Said {
        first: word(error.reason()),
        faults: sorted(error.reasons().filter(|reason| is_fault(reason)).map(word)),
        aborted: sorted(report.aborted().iter().map(|straggler| name(straggler.task()))),
        adopted: sorted(adopted),
        adopted_aborted: sorted(lost.into_iter().map(|adopted| name(adopted.task()))),
    }
}

fn is_fault(reason: &Reason<Error>) -> bool {
    matches!(reason, Reason::Failed(_) | Reason::Panicked(_))
}

fn word(reason: &Reason<Error>) -> String {
    match reason {
        Reason::Failed(failure) => failure.error().to_string(),
        Reason::Panicked(panic) => panic.message().to_owned(),
        Reason::Cancelled(_) => "cancelled".to_owned(),
        Reason::Aborted => "aborted".to_owned(),
        other => other.to_string(),
    }
}

fn sorted(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<_> = words.collect();
    words.sort();
    words
}
