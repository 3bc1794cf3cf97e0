//! The signal that asks a process to end.

use rustix::process::Signal;
use std::fmt;

/// The signal that asks a process to end, before it is killed.
///
/// SIGKILL is not among them: it cannot be heard. For that, let the
/// [grace](super::Proc::grace) be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopSignal {
    /// SIGTERM: what service managers send.
    #[default]
    Terminate,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGQUIT: many programs write a core file, or what their threads do.
    Quit,
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl StopSignal {
    pub(super) fn number(self) -> Signal {
        match self {
            Self::Terminate => Signal::TERM,
            Self::Interrupt => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Hangup => Signal::HUP,
            Self::User1 => Signal::USR1,
            Self::User2 => Signal::USR2,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Hangup => "SIGHUP",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
        })
    }
}
