//! How a program ended.

use crate::{JoinReport, Reason, ScopeError, Straggler, inspect::Deadlock, say::say_line};
use std::{
    fmt::{self, Display},
    process::{ExitCode, Termination},
};

/// How a program ended, and what it left behind. Its `Display` names all of it, a line each.
///
/// `main` may return it: it is written to stderr then if the program did not end well, and its
/// [exit code](Self::exit_code) is that of the program. An async `main` returns when its runtime
/// was dropped, which waits for blocking work: where that may hang, use [`exit`](Self::exit).
#[derive(Debug)]
#[must_use = "it may name work that still runs"]
pub struct ExitReport<T, E> {
    result: Result<(T, JoinReport<E>), ScopeError<E>>,
    gave_up: bool,
    signal: Option<i32>,
    stuck: Vec<Straggler>,
    deadlocks: Vec<Deadlock>,
}

impl<T, E> ExitReport<T, E> {
    /// Of a program whose root scope has ended.
    pub(super) fn ended(
        (result, report): (Result<T, Reason<E>>, JoinReport<E>),
        signal: Option<i32>,
        stuck: Vec<Straggler>,
    ) -> Self {
        let result = match result {
            Ok(value) => Ok((value, report)),
            Err(reason) => ScopeError::of((Err(reason), report)),
        };
        Self { result, gave_up: false, signal, stuck, deadlocks: Vec::new() }
    }

    /// Of a program that did not end in time.
    pub(super) fn given_up(
        error: ScopeError<E>,
        signal: Option<i32>,
        stuck: Vec<Straggler>,
        deadlocks: Vec<Deadlock>,
    ) -> Self {
        Self { result: Err(error), gave_up: true, signal, stuck, deadlocks }
    }

    /// What else went wrong until the last child of the root scope had ended, also if it ended well:
    /// in nested scopes that were dropped, for instance.
    #[must_use]
    pub fn report(&self) -> &JoinReport<E> {
        match &self.result {
            Ok((_, report)) => report,
            Err(error) => error.report(),
        }
    }

    /// The result of the root scope. If [`App::run`](super::App::run) gave up it is an error, which
    /// has all that had gone wrong by then.
    ///
    /// # Errors
    ///
    /// As for [`Scope::run`](crate::Scope::run).
    pub fn result(&self) -> Result<&T, &ScopeError<E>> {
        self.result.as_ref().map(|(value, _)| value)
    }

    /// The same, by value.
    ///
    /// # Errors
    ///
    /// As for [`Scope::run`](crate::Scope::run).
    pub fn into_result(self) -> Result<T, ScopeError<E>> {
        self.result.map(|(value, _)| value)
    }

    /// Whether [`App::run`](super::App::run) returned before the root scope had ended.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// The number of the first signal, such as 2 for SIGINT.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// What still ran when [`App::run`](super::App::run) returned, and what it did: blocking work,
    /// tasks that never yield, or at a further signal whatever had not ended; bodies included, and
    /// what root scopes left that were dropped.
    #[must_use]
    pub fn stuck(&self) -> &[Straggler] {
        &self.stuck
    }

    /// Work that waited for each other in a circle when [`App::run`](super::App::run) gave up.
    #[must_use]
    pub fn deadlocks(&self) -> &[Deadlock] {
        &self.deadlocks
    }

    /// Work that ignored the cancellation and was dropped after the grace period.
    #[must_use]
    pub fn aborted(&self) -> &[Straggler] {
        self.report().aborted()
    }

    /// The exit code: 0 for `Ok`, which a program that has drained in time returns, too;
    /// after a signal by the shell's convention 128 + its number; or 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.signal, &self.result) {
            (_, Ok(_)) => 0,
            (Some(signal), Err(_)) => 128 + u8::try_from(signal & 0x7f).unwrap_or(0),
            (None, Err(_)) => 1,
        }
    }
}

impl<T, E: Display> ExitReport<T, E> {
    /// Ends the process at once, as [`main` returning this](Self#impl-Termination-for-ExitReport<T,+E>)
    /// does, but without waiting for anything: what still runs, such as blocking work that hangs,
    /// cannot keep the program alive.
    pub fn exit(self) -> ! {
        std::process::exit(self.say().into())
    }

    fn say(&self) -> u8 {
        if self.result.is_err() || !self.stuck.is_empty() {
            say_line(self.to_string());
        }
        self.exit_code()
    }
}

impl<T, E: Display> Termination for ExitReport<T, E> {
    fn report(self) -> ExitCode {
        self.say().into()
    }
}

impl<T, E: Display> Display for ExitReport<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(_) => f.write_str("ended")?,
            Err(error) => {
                let mut reasons = error.reasons();
                reasons.next().into_iter().try_for_each(|reason| write!(f, "{reason}"))?;
                reasons.try_for_each(|reason| write!(f, "\nalso: {reason}"))?;
                match error.report().more() {
                    0 => {}
                    more => write!(f, "\nand {more} more")?,
                }
            }
        }
        for aborted in self.aborted() {
            write!(f, "\naborted: {aborted}")?;
        }
        for stuck in &self.stuck {
            write!(f, "\nstill running: {stuck}")?;
        }
        self.deadlocks.iter().try_for_each(|deadlock| write!(f, "\n{deadlock}"))
    }
}
