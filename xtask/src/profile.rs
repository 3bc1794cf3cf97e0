//! How much a run may cost.

use std::fmt;

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Every change: at most 25 minutes for all lanes, on two cores, from nothing.
    #[default]
    Pr,
    /// Once a night: at most 85 minutes.
    Nightly,
}

impl Profile {
    /// Both, the lighter one first.
    pub const ALL: [Self; 2] = [Self::Pr, Self::Nightly];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pr => "pr",
            Self::Nightly => "nightly",
        }
    }

    /// The profile called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The setting of this profile.
    #[must_use]
    pub fn pick<T>(self, pr: T, nightly: T) -> T {
        match self {
            Self::Pr => pr,
            Self::Nightly => nightly,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
