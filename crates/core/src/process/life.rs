//! When to signal, when to kill, and how long to wait for the output: without a process or a clock.

use std::time::Duration;
use tokio::time::Instant;

/// How long a process that was killed may take to die. One that takes longer hangs in the
/// kernel, for instance on a file system that does not answer.
pub(super) const DEATH: Duration = Duration::from_secs(5);

/// How long pipes are waited for once everything that was found has been killed.
const CLOSE: Duration = Duration::from_secs(1);

/// Where a process is in its life. `until` is none, if it is further away than a clock can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// `until` is the end of its time.
    Running { until: Option<Instant> },
    /// It was asked to end.
    Stopping { until: Option<Instant> },
    /// It was killed, and is not dead yet.
    Killing { until: Option<Instant> },
    /// It has ended, and somebody else holds a pipe.
    Draining { until: Option<Instant> },
    /// It has ended, and so has its output.
    Ended,
    /// It was killed, and does not die.
    Stuck,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It is to end.
    Stop,
    /// It is to end at once.
    Kill,
    /// The process itself has ended.
    Exited,
    /// The last pipe of its output was closed.
    PipesClosed,
    /// Time has passed.
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send the stop signal to the whole tree.
    Signal,
    /// Kill the whole tree.
    Kill,
    /// Kill what is left of the tree, give up pipes that are open, and collect the exit status.
    Finish,
    /// Give up: whoever reaps it must wait for it.
    Abandon,
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// By itself: nobody had asked it to.
    Itself,
    /// After the stop signal, within the grace period.
    Stopped,
    /// After SIGKILL.
    Killed,
}

/// The life of one process.
#[derive(Clone, Debug)]
pub(super) struct Life {
    phase: Phase,
    grace: Duration,
    wait_delay: Duration,
    pipes_open: bool,
    ended: Ended,
}

impl Life {
    /// One that begins now, and may take so long.
    pub(super) fn new(
        timeout: Option<Duration>,
        grace: Duration,
        wait_delay: Duration,
        now: Instant,
    ) -> Self {
        let until = timeout.and_then(|timeout| now.checked_add(timeout));
        let (phase, pipes_open, ended) = (Phase::Running { until }, true, Ended::Itself);
        Self { phase, grace, wait_delay, pipes_open, ended }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// What it died of; what it would die of now, if it runs.
    pub(super) fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether somebody held a pipe of the output to the end.
    pub(super) fn pipes_open(&self) -> bool {
        self.pipes_open
    }

    /// When to look at the clock again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { until }
            | Phase::Stopping { until }
            | Phase::Killing { until }
            | Phase::Draining { until } => until,
            Phase::Ended | Phase::Stuck => None,
        }
    }

    /// What to do about an event: the table in the documentation of [`super`].
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        if event == Event::PipesClosed {
            self.pipes_open = false;
        }
        let (phase, action) = self.next(event, now)?;
        self.phase = phase;
        action
    }

    fn next(&mut self, event: Event, now: Instant) -> Option<(Phase, Option<Action>)> {
        let is_over = self.deadline().is_some_and(|until| until <= now);
        Some(match (self.phase, event) {
            (Phase::Running { .. }, Event::Stop) => self.stop(now),
            (Phase::Running { .. }, Event::Tick) if is_over => self.stop(now),
            (Phase::Running { .. } | Phase::Stopping { .. }, Event::Kill) => self.kill(now),
            (Phase::Stopping { .. }, Event::Tick) if is_over => self.kill(now),
            (Phase::Killing { .. }, Event::Tick) if is_over => {
                (Phase::Stuck, Some(Action::Abandon))
            }
            (
                Phase::Running { .. } | Phase::Stopping { .. } | Phase::Killing { .. },
                Event::Exited,
            ) => {
                if self.pipes_open {
                    (Phase::Draining { until: now.checked_add(self.wait_delay) }, None)
                } else {
                    (Phase::Ended, Some(Action::Finish))
                }
            }
            (Phase::Draining { until }, Event::Stop) => {
                let until = earlier(until, now.checked_add(self.grace));
                (Phase::Draining { until }, Some(Action::Signal))
            }
            (Phase::Draining { until }, Event::Kill) => {
                let until = earlier(until, now.checked_add(CLOSE));
                (Phase::Draining { until }, Some(Action::Kill))
            }
            (Phase::Draining { .. }, Event::PipesClosed) => (Phase::Ended, Some(Action::Finish)),
            (Phase::Draining { .. }, Event::Tick) if is_over => {
                (Phase::Ended, Some(Action::Finish))
            }
            _ => return None,
        })
    }

    fn stop(&mut self, now: Instant) -> (Phase, Option<Action>) {
        self.ended = Ended::Stopped;
        (Phase::Stopping { until: now.checked_add(self.grace) }, Some(Action::Signal))
    }

    fn kill(&mut self, now: Instant) -> (Phase, Option<Action>) {
        self.ended = Ended::Killed;
        (Phase::Killing { until: now.checked_add(DEATH) }, Some(Action::Kill))
    }
}

/// The earlier of two moments; none is never.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(all(test, not(tidegate_loom)))]
#[path = "life_tests.rs"]
mod tests;
