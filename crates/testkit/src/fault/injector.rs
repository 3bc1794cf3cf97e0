//! The waits and wake-ups between an I/O and its faults.

use super::{
    counts::FaultLog,
    plan::FaultPlan,
    probability::Probability,
    script::{Passage, Script, Step},
};
use crate::Rng;
use std::{
    io::{self, ErrorKind},
    mem::replace,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::time::{Sleep, sleep};

/// Both directions of an I/O.
#[derive(Debug)]
pub(super) struct Injector {
    pub(super) log: FaultLog,
    read: Lane,
    write: Lane,
    control: Control,
    is_reset: bool,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    script: Script,
    stall: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
    /// Who is to hear of a reset that the other direction meets.
    waiting: Option<Waker>,
}

/// Flush and shutdown, which move no bytes.
#[derive(Debug)]
struct Control {
    pending: Probability,
    rng: Rng,
    /// Whether it is known already what becomes of the operation under way.
    is_drawn: bool,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The way is not free.
#[derive(Debug)]
pub(super) enum Stop {
    End,
    Error(ErrorKind),
}

impl Injector {
    pub(super) fn new(plan: FaultPlan) -> Self {
        let rng = plan.seed().rng();
        let control = Control { pending: plan.write.pending, rng: rng.stream(2), is_drawn: false };
        // A stream for each, so that how two halves take turns does not matter.
        let read = Lane::new(Script::new(plan.read, rng.stream(0)));
        let write = Lane::new(Script::new(plan.write, rng.stream(1)));
        let log = FaultLog::default();
        let mut new = Self { log, read, write, control, is_reset: false };
        new.reset_if_due(Direction::Read);
        new.reset_if_due(Direction::Write);
        new
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Before an operation for `wanted` bytes, which is at least 1.
    pub(super) fn poll_pass(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<Passage, Stop>> {
        self.check_reset().map_err(Stop::Error)?;
        let Self { log, read, write, .. } = self;
        let lane = match direction {
            Direction::Read => read,
            Direction::Write => write,
        };
        lane.remember(cx.waker());
        loop {
            ready!(lane.poll_stall(cx));
            match lane.script.step(wanted) {
                Step::End => {
                    let is_first = !replace(&mut lane.has_ended, true);
                    log.note(|faults| match direction {
                        Direction::Read => faults.ends += u64::from(is_first),
                        Direction::Write => faults.broken_pipes += u64::from(is_first),
                    });
                    return Poll::Ready(Err(Stop::End));
                }
                Step::Stall(time) => {
                    log.note(|faults| faults.stalls += 1);
                    lane.stall = Some(Box::pin(sleep(time)));
                }
                Step::Yield => {
                    log.note(|faults| faults.pending += 1);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::Interrupt => {
                    log.note(|faults| faults.interrupted += 1);
                    return Poll::Ready(Err(Stop::Error(ErrorKind::Interrupted)));
                }
                Step::Pass(passage) => return Poll::Ready(Ok(passage)),
            }
        }
    }

    /// After an operation that has moved so many bytes.
    pub(super) fn passed(&mut self, direction: Direction, passage: Passage, bytes: usize) {
        let lane = self.lane(direction);
        lane.waiting = None;
        lane.script.passed(bytes);
        if passage.is_short && bytes == passage.limit {
            self.log.note(|faults| match direction {
                Direction::Read => faults.short_reads += 1,
                Direction::Write => faults.short_writes += 1,
            });
        }
        self.reset_if_due(direction);
    }

    /// After an operation that has failed by itself.
    pub(super) fn failed(&mut self, direction: Direction) {
        self.lane(direction).script.passed(0);
    }

    /// Before a flush or a shutdown.
    pub(super) fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_reset()?;
        self.write.remember(cx.waker());
        if !replace(&mut self.control.is_drawn, true)
            && self.control.pending.happens(&mut self.control.rng)
        {
            self.log.note(|faults| faults.pending += 1);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// After it is over.
    pub(super) fn controlled(&mut self) {
        self.control.is_drawn = false;
    }

    fn reset_if_due(&mut self, direction: Direction) {
        if self.is_reset || !self.lane(direction).script.resets() {
            return;
        }
        self.is_reset = true;
        self.log.note(|faults| faults.resets += 1);
        let other = match direction {
            Direction::Read => &mut self.write,
            Direction::Write => &mut self.read,
        };
        // Whoever waits in the other direction waits for bytes that need not come.
        other.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn check_reset(&self) -> Result<(), ErrorKind> {
        if self.is_reset { Err(ErrorKind::ConnectionReset) } else { Ok(()) }
    }
}

impl Lane {
    fn new(script: Script) -> Self {
        Self { script, stall: None, has_ended: false, waiting: None }
    }

    fn remember(&mut self, waker: &Waker) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(waker),
            None => self.waiting = Some(waker.clone()),
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stall) = &mut self.stall {
            ready!(stall.as_mut().poll(cx));
            self.stall = None;
        }
        Poll::Ready(())
    }
}
