//! What a supervisor does when a child ends, in OTP's words.

use super::{ConfigError, state::Kid};
use std::time::Duration;

/// Which children are started again when one has failed: those of Erlang/OTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// That one alone.
    #[default]
    OneForOne,
    /// All of them.
    OneForAll,
    /// That one and those that come after it in the order of start, which has everything that
    /// was declared to come [after](super::ChildSpec::after) it.
    RestForOne,
}

/// Whether a child that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// If it failed: it has done its work once it returns `Ok`.
    Transient,
    /// Never. It is forgotten when it has ended, however that was.
    Temporary,
}

/// Whether the end of [significant](super::ChildSpec::significant) children ends the
/// supervisor. An end counts if it was not asked for, and the child is not started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AutoShutdown {
    /// No.
    #[default]
    Never,
    /// That of one does.
    AnySignificant,
    /// That of the last one does.
    AllSignificant,
}

/// The rules of one supervisor.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) strategy: Strategy,
    pub(super) intensity: u32,
    pub(super) period: Duration,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) max_children: usize,
    pub(super) history: usize,
}

impl Rules {
    /// Whether a child can be what it says with these rules.
    pub(super) fn check(&self, kid: &Kid) -> Result<(), ConfigError> {
        if kid.significant && kid.restart == Restart::Permanent {
            return Err(ConfigError::SignificantPermanent(kid.name.clone()));
        }
        if kid.significant && self.auto_shutdown == AutoShutdown::Never {
            return Err(ConfigError::SignificantIgnored(kid.name.clone()));
        }
        Ok(())
    }
}
