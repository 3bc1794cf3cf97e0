//! Why a test failed in its bubble.

use crate::{Leak, Seed, repro};
use std::{fmt, time::Duration};

/// Why a test failed in its [bubble](super::Bubble). Its text says where the test waits, as far as that is
/// known, and ends with the command that runs it again. Its `Debug` form, which `unwrap` shows, is
/// that text.
pub struct Failure(Box<Inner>);

struct Inner {
    kind: FailureKind,
    places: Vec<String>,
    panics: Vec<String>,
    seed: Option<Seed>,
}

/// What kept a test from ending well.
#[derive(Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// All tasks wait, and no timer is armed: nothing can happen any more.
    Deadlock {
        /// How far the clock had moved.
        elapsed: Duration,
        /// How many tasks there are beside the test.
        tasks: usize,
    },
    /// The clock has moved further than it may: timers fire without end, or late.
    OverBudget {
        /// How far it may move.
        budget: Duration,
        /// How many tasks there are beside the test.
        tasks: usize,
    },
    /// The clock has moved more often than it may: timers fire without end.
    OverMoved {
        /// How often it may move.
        budget: u64,
        /// How far the clock had moved.
        elapsed: Duration,
        /// How many tasks there are beside the test.
        tasks: usize,
    },
    /// There were more polls than there may be: somebody yields without end, or often.
    OverPolled {
        /// How many there may be.
        budget: u64,
        /// How far the clock had moved.
        elapsed: Duration,
        /// How many tasks there are beside the test.
        tasks: usize,
    },
    /// Tasks run without end, and the clock stands.
    Livelock {
        /// How far the clock had moved.
        elapsed: Duration,
        /// How many tasks there are beside the test.
        tasks: usize,
    },
    /// Everybody waits for a thread of tokio's, or in [`Mode::RealIo`](super::Mode) for I/O or a timer, and that
    /// does not come.
    Waits {
        /// How far the clock had moved.
        elapsed: Duration,
        /// How many tasks there are beside the test.
        tasks: usize,
    },
    /// The test has returned, and something is left.
    Leaked(Leak),
    /// Tasks have [panicked](Failure::panics), and nothing else was wrong.
    Panicked,
    /// The test has returned, and blocking work goes on.
    BlockingLeft {
        /// How long it was waited for, in real time.
        patience: Duration,
    },
}

impl Failure {
    pub(super) fn new(
        kind: FailureKind,
        places: Vec<String>,
        panics: Vec<String>,
        seed: Option<Seed>,
    ) -> Self {
        Self(Box::new(Inner { kind, places, panics, seed }))
    }

    /// What it was.
    #[must_use]
    pub fn kind(&self) -> &FailureKind {
        &self.0.kind
    }

    /// The lines at which the test waits, the innermost first, as `file:line function`; none, if
    /// it does not wait, or not for something of tokio's.
    #[must_use]
    pub fn places(&self) -> &[String] {
        &self.0.places
    }

    /// The panics of tasks, as `file:line:column: message`: often why the test waits in vain.
    #[must_use]
    pub fn panics(&self) -> &[String] {
        &self.0.panics
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)?;
        if !self.0.places.is_empty() {
            f.write_str("\nthe test waits at")?;
        }
        self.0.places.iter().try_for_each(|place| write!(f, "\n  {place}"))?;
        self.0.panics.iter().try_for_each(|panic| write!(f, "\na task panicked at {panic}"))?;
        write!(f, "\nrun it again: {}", repro::command(self.0.seed))
    }
}

impl std::error::Error for Failure {}

impl FailureKind {
    /// Whether the test waits, and would go on waiting if it were polled.
    pub(super) fn is_of_one_that_waits(&self) -> bool {
        match self {
            Self::Deadlock { .. } | Self::Waits { .. } => true,
            Self::OverBudget { .. }
            | Self::OverMoved { .. }
            | Self::OverPolled { .. }
            | Self::Livelock { .. }
            | Self::Leaked(_)
            | Self::Panicked
            | Self::BlockingLeft { .. } => false,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside = |tasks: &usize| match tasks {
            0 => "no task beside it".to_owned(),
            1 => "1 task beside it".to_owned(),
            tasks => format!("{tasks} tasks beside it"),
        };
        match self {
            Self::Deadlock { elapsed, tasks } => write!(
                f,
                "deadlock after {elapsed:?}: the test waits with {}, nobody can go on, and no \
                 timer is armed",
                beside(tasks)
            ),
            Self::OverBudget { budget, tasks } => write!(
                f,
                "the clock has moved on by more than {budget:?}, and the test waits with {}",
                beside(tasks)
            ),
            Self::OverMoved { budget, elapsed, tasks } => write!(
                f,
                "the clock has moved more than {budget} times in {elapsed:?}, and the test waits \
                 with {}",
                beside(tasks)
            ),
            Self::OverPolled { budget, elapsed, tasks } => write!(
                f,
                "livelock after {elapsed:?}: there were more than {budget} polls, the test with {}",
                beside(tasks)
            ),
            Self::Livelock { elapsed, tasks } => write!(
                f,
                "livelock after {elapsed:?}: tasks run without end while the clock stands, the \
                 test with {}",
                beside(tasks)
            ),
            Self::Waits { elapsed, tasks } => write!(
                f,
                "stuck after {elapsed:?}: the test waits for a thread, for I/O or for time, with {}",
                beside(tasks)
            ),
            Self::Leaked(leak) => write!(f, "the test has returned, and has {leak}"),
            Self::Panicked => f.write_str("tasks have panicked"),
            Self::BlockingLeft { patience } => {
                write!(f, "the test has returned, and blocking work has gone on for {patience:?}")
            }
        }
    }
}
