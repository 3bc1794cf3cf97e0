//! The task that owns a process: hears what happens, asks [`Life`] what to do, and does it.

use super::{
    Overflow, Proc, ProcOutput, Program, StopSignal, Stream, WaitError,
    capture::{Capture, Feed},
    exit::Exit,
    life::{Action, Event, Life, Phase},
    output::{Captured, Leftover},
    tree::Family,
};
use crate::{
    CancelToken, Cancelled, Cause, CauseKind, Stopping,
    inspect::{Target, Waiting},
    observe,
    rt::{Sleep, sleep, sleep_until},
    sync::{
        Arc,
        unmodelled::{AtomicU32, Ordering},
    },
};
use std::{
    future::poll_fn,
    io,
    panic::Location,
    pin::{Pin, pin},
    process::ExitStatus,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    task::coop::unconstrained,
    time::Instant,
};

/// How often it is looked whether what was killed is gone, and how long between: 1 s in all.
const LOOKS: u32 = 28;
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// Where a process is in its life, for the inspection.
#[derive(Debug, Default)]
pub(super) struct Status(AtomicU32);

impl Status {
    const TEXTS: [&str; 6] = ["running", "stopping", "killing", "draining", "ended", "stuck"];

    fn set(&self, phase: Phase) {
        let index = match phase {
            Phase::Running { .. } => 0,
            Phase::Stopping { .. } => 1,
            Phase::Killing { .. } => 2,
            Phase::Draining { .. } => 3,
            Phase::Ended => 4,
            Phase::Stuck => 5,
        };
        self.0.store(index, Ordering::Relaxed);
    }

    pub(super) fn text(&self) -> &'static str {
        Self::TEXTS[self.0.load(Ordering::Relaxed) as usize]
    }
}

/// Tells the pipes that the caller has that the process is over, however it goes.
#[derive(Debug)]
pub(super) struct Over(pub(super) CancelToken);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.cancel("the process has ended");
    }
}

/// An output that has not come to its end.
#[derive(Debug)]
pub(super) enum Out {
    Captured(Stream, Capture),
    /// The caller reads it; closed when the caller has come to its end.
    Piped(oneshot::Receiver<()>),
}

/// How long it may run, and where it is in the tree of work, for the cause that says so.
#[derive(Debug)]
pub(super) struct TimeLimit {
    pub(super) timeout: Duration,
    pub(super) path: String,
    pub(super) at: &'static Location<'static>,
}

#[derive(Debug)]
pub(super) struct Driver {
    // First: dropped in this order, and what reads the pipes is to find nobody who writes.
    family: Family,
    exit: Option<Exit>,
    feed: Option<Feed>,
    outs: [Option<Out>; 2],
    captured: [Captured; 2],
    life: Life,
    program: Program,
    stop_signal: StopSignal,
    max_output: usize,
    overflow: Overflow,
    status: Arc<Status>,
    /// Which output is read first.
    turn: bool,
    /// The first output that was too much.
    beyond: Option<Stream>,
    error: Option<(&'static str, io::Error)>,
    _over: Over,
}

impl Driver {
    pub(super) fn new(
        proc: &Proc,
        family: Family,
        exit: Exit,
        outs: [Option<Out>; 2],
        feed: Option<Feed>,
        over: Over,
        status: Arc<Status>,
    ) -> Self {
        Self {
            family,
            exit: Some(exit),
            feed,
            outs,
            captured: Default::default(),
            life: Life::new(proc.timeout, proc.grace, proc.wait_delay, Instant::now()),
            program: proc.label(),
            stop_signal: proc.stop_signal,
            max_output: proc.max_output,
            overflow: proc.overflow,
            status,
            turn: false,
            beyond: None,
            error: None,
            _over: over,
        }
    }

    /// Waits for the end of the process, which comes early if the scope is cancelled or somebody
    /// orders it.
    pub(super) async fn drive(
        mut self,
        scope: &CancelToken,
        orders: &CancelToken,
        limit: Option<TimeLimit>,
        at: &'static Location<'static>,
    ) -> Result<ProcOutput, WaitError> {
        let mut ears = Ears {
            kill: Some(orders.cancelled()),
            stop: Some(orders.stopping()),
            scope: Some(scope.cancelled()),
            timer: None,
        };
        let live = self.live(&mut ears);
        let (why, action) = Waiting::new("process to end", at, Target::Unknown, live).await;
        if action == Action::Abandon {
            self.tell("was killed, and does not die");
            self.family.abandon();
            return Err(WaitError::Stuck { pid: self.family.id(), program: self.program });
        }
        let finished = self.finish().await;
        if !finished.leftovers.is_empty() {
            self.tell("left processes behind, which were killed");
        }
        self.into_result(why, limit, finished)
    }

    /// Goes on until there is nothing more to wait for.
    async fn live(&mut self, ears: &mut Ears<'_>) -> (Option<Why>, Action) {
        let mut first = None;
        loop {
            let (event, why) = poll_fn(|cx| {
                if let Some(order) = ears.poll_orders(cx) {
                    return Poll::Ready(order);
                }
                // Before the clock: what has ended in its time is not late if nobody looked.
                if let Poll::Ready(event) = self.poll_exit(cx) {
                    return Poll::Ready((event, None));
                }
                if ears.poll_timer(self.life.deadline(), cx).is_ready() {
                    return Poll::Ready((Event::Tick, Some(Why::Late)));
                }
                self.poll(cx).map(|event| (event, None))
            })
            .await;
            let action = self.life.on(event, Instant::now());
            self.status.set(self.life.phase());
            match action {
                None => {}
                Some(Action::Signal) => {
                    if event == Event::Tick {
                        self.tell("did not end within its time, and is asked to");
                    }
                    first = first.or(why);
                    self.family.stop(self.stop_signal);
                }
                Some(Action::Kill) => {
                    if event == Event::Tick {
                        self.tell("did not end within its grace period, and is killed");
                    }
                    self.family.kill();
                }
                Some(end @ (Action::Finish | Action::Abandon)) => return (first, end),
            }
        }
    }

    fn tell(&self, event: &'static str) {
        observe::process(&self.program, self.family.id(), event);
    }

    /// Whether the process itself has ended.
    fn poll_exit(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let Some(exit) = &mut self.exit else { return Poll::Pending };
        let exited = ready!(exit.poll(cx));
        self.exit = None;
        let error = exited.err().map(|error| ("wait for it", error));
        self.error = self.error.take().or(error);
        Poll::Ready(Event::Exited)
    }

    /// What happens to its pipes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.feed.as_mut().is_some_and(|feed| feed.poll(cx).is_ready()) {
            self.feed = None;
        }
        // In turns: an output without end takes all that a poll may take.
        self.turn = !self.turn;
        for n in if self.turn { [0, 1] } else { [1, 0] } {
            if self.poll_out(n, cx).is_ready() {
                return Poll::Ready(Event::Kill);
            }
        }
        if self.life.pipes_open() && self.outs.iter().all(Option::is_none) {
            return Poll::Ready(Event::PipesClosed);
        }
        Poll::Pending
    }

    /// Reads what there is of an output. Ready, if that is more than there may be.
    fn poll_out(&mut self, n: usize, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let is_closed = match &mut self.outs[n] {
                None => return Poll::Pending,
                Some(Out::Piped(told)) => Pin::new(told).poll(cx).is_ready(),
                Some(Out::Captured(stream, capture)) => {
                    let was_read = capture.poll(cx).is_ready();
                    let is_first = self.beyond.is_none() && self.overflow == Overflow::Kill;
                    if is_first && capture.is_beyond() {
                        self.beyond = Some(*stream);
                        return Poll::Ready(());
                    }
                    if was_read && capture.is_open() {
                        continue;
                    }
                    was_read
                }
            };
            if is_closed {
                let _ = self.close(n);
            }
            return Poll::Pending;
        }
    }

    /// Keeps what was captured. Whether somebody could write more.
    fn close(&mut self, n: usize) -> bool {
        match self.outs[n].take() {
            None => false,
            Some(Out::Piped(mut told)) => matches!(told.try_recv(), Err(TryRecvError::Empty)),
            Some(Out::Captured(stream, mut capture)) => {
                capture.finish();
                let is_open = capture.is_open();
                if capture.is_beyond() && self.overflow == Overflow::Kill {
                    self.beyond.get_or_insert(stream);
                }
                let error = capture.error.take().map(|error| ("read its output", error));
                self.error = self.error.take().or(error);
                self.captured[n] = capture.into_captured();
                is_open
            }
        }
    }

    /// Kills what is left of the tree, reaps the child, and waits until all are gone, within a
    /// bound. Tells what was found, and the status of the child.
    async fn finish(&mut self) -> Finished {
        let is_held = (0..self.outs.len()).map(|n| self.close(n)).fold(false, |a, b| a | b);
        let is_held = is_held && self.life.pipes_open();
        self.feed = None;
        let mut leftovers = Vec::new();
        let mut pause = Duration::from_millis(1);
        let mut reaped = None;
        for _ in 0..LOOKS {
            let left = match &reaped {
                None => self.family.kill(),
                Some(_) => self.family.group(),
            };
            if left.is_empty() {
                if reaped.is_some() {
                    break;
                }
                reaped = Some(self.family.reap());
                continue;
            }
            if leftovers.is_empty() {
                leftovers = left;
            }
            unconstrained(sleep(pause)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        let reaped = reaped.unwrap_or_else(|| self.family.reap());
        Finished { is_held, leftovers, reaped }
    }

    fn into_result(
        self,
        why: Option<Why>,
        limit: Option<TimeLimit>,
        Finished { is_held, leftovers, reaped }: Finished,
    ) -> Result<ProcOutput, WaitError> {
        let program = self.program;
        let reaped = reaped.map_err(|error| ("wait for it", error));
        let status = match (self.error, reaped) {
            (None, Ok(status)) => status,
            (Some((doing, source)), _) | (None, Err((doing, source))) => {
                return Err(WaitError::System { program, doing, source });
            }
        };
        let [stdout, stderr] = self.captured;
        let ended = self.life.ended();
        let output = ProcOutput {
            program: program.clone(),
            status,
            ended,
            stdout,
            stderr,
            pipes_held: is_held,
            leftovers,
        };
        if let Some(stream) = self.beyond {
            let output = Box::new(output);
            return Err(WaitError::TooMuchOutput { program, stream, max: self.max_output, output });
        }
        match (why, limit) {
            (Some(Why::Cancelled(cause)), _) => {
                Err(WaitError::Cancelled { program, cause, output: Box::new(output) })
            }
            (Some(Why::Late), Some(TimeLimit { timeout, path, at })) => {
                let (kind, told) = (CauseKind::DeadlineExceeded, format!("it had {timeout:?}"));
                let cause = Cause::of_child(kind, path, at, Some(told), None);
                Err(WaitError::TimedOut { program, timeout, cause, output: Box::new(output) })
            }
            // Nothing without a limit is late.
            (None | Some(Why::Late), _) => Ok(output),
        }
    }
}

/// Why it was stopped, if not by its handle.
enum Why {
    Cancelled(Cause),
    /// Its time was over.
    Late,
}

/// How it came out.
struct Finished {
    /// Whether somebody held an output to the end.
    is_held: bool,
    leftovers: Vec<Leftover>,
    reaped: io::Result<ExitStatus>,
}

/// What may end a process from outside.
struct Ears<'a> {
    kill: Option<Cancelled<'a>>,
    stop: Option<Stopping<'a>>,
    scope: Option<Cancelled<'a>>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The output of a future that is polled until it has one.
fn once<F: Future + Unpin>(future: &mut Option<F>, cx: &mut Context<'_>) -> Option<F::Output> {
    match Pin::new(future.as_mut()?).poll(cx) {
        Poll::Ready(output) => {
            *future = None;
            Some(output)
        }
        Poll::Pending => None,
    }
}

impl Ears<'_> {
    /// Before what the process does: that may be without end.
    fn poll_orders(&mut self, cx: &mut Context<'_>) -> Option<(Event, Option<Why>)> {
        if once(&mut self.kill, cx).is_some() {
            return Some((Event::Kill, None));
        }
        if once(&mut self.stop, cx).is_some() {
            return Some((Event::Stop, None));
        }
        let cause = once(&mut self.scope, cx)?;
        Some((Event::Stop, Some(Why::Cancelled(cause))))
    }

    fn poll_timer(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        // What the process writes may use up the budget of the task: time passes all the same.
        ready!(pin!(unconstrained(timer)).poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}
