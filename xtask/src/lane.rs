//! The list of lanes.

use std::time::Duration;

use crate::{cx::Cx, lanes, outcome::Stop};

/// One thing that is verified by one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Formatting.
    Fmt,
    /// The rules of the house.
    Tidy,
    /// Lints.
    Clippy,
    /// Unit, integration and documentation tests.
    Test,
    /// API documentation.
    Doc,
    /// The book.
    Site,
    /// Licences, bans, sources.
    Deny,
    /// The minimum supported Rust version.
    Msrv,
    /// Model checking.
    Loom,
    /// Whole programs under many schedules.
    Shuttle,
    /// Seeded stress tests.
    Stress,
    /// Planted bugs and their cures.
    Zoo,
    /// Comparison with `b3sum`.
    Compare,
    /// Undefined behaviour.
    Miri,
    /// Data races.
    Tsan,
}

impl Lane {
    /// All lanes in the order `ci` runs them: what fails fast comes first.
    pub const ALL: [Self; 15] = [
        Self::Fmt,
        Self::Tidy,
        Self::Clippy,
        Self::Test,
        Self::Doc,
        Self::Site,
        Self::Deny,
        Self::Msrv,
        Self::Loom,
        Self::Shuttle,
        Self::Stress,
        Self::Zoo,
        Self::Compare,
        Self::Miri,
        Self::Tsan,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Clippy => "clippy",
            Self::Test => "test",
            Self::Doc => "doc",
            Self::Site => "site",
            Self::Deny => "deny",
            Self::Msrv => "msrv",
            Self::Loom => "loom",
            Self::Shuttle => "shuttle",
            Self::Stress => "stress",
            Self::Zoo => "zoo",
            Self::Compare => "compare",
            Self::Miri => "miri",
            Self::Tsan => "tsan",
        }
    }

    /// The lane called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.name() == name)
    }

    /// One line for the help.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Fmt => "rustfmt finds nothing to change",
            Self::Tidy => "the rules of the house that a program can check",
            Self::Clippy => "no lint fires, with all features and with none",
            Self::Test => "unit, integration and documentation tests",
            Self::Doc => "the API documentation builds without a warning",
            Self::Site => "the book builds, its code runs, its links lead somewhere",
            Self::Deny => "licences, banned and duplicate crates, sources",
            Self::Msrv => "the published crates build with the stated Rust version",
            Self::Loom => "every interleaving of the models (2 preemptions)",
            Self::Shuttle => "whole scopes under thousands of schedules each",
            Self::Stress => "seeded, time-boxed, oversubscribed tests",
            Self::Zoo => "the testkit tells planted bugs from their cures",
            Self::Compare => "treesum agrees with the b3sum program",
            Self::Miri => "unit tests without undefined behaviour",
            Self::Tsan => "tests without a data race",
        }
    }

    /// The lane's time limit: several times what it takes on two cores from nothing.
    #[must_use]
    pub fn limit(self) -> Duration {
        let minutes = match self {
            Self::Fmt | Self::Tidy => 2,
            Self::Doc | Self::Msrv | Self::Deny => 6,
            Self::Clippy | Self::Site | Self::Loom | Self::Shuttle | Self::Stress | Self::Zoo => 10,
            Self::Test | Self::Compare | Self::Miri | Self::Tsan => 15,
        };
        Duration::from_secs(60 * minutes)
    }

    /// Runs the lane.
    ///
    /// # Errors
    /// Why the lane did not pass.
    pub fn run(self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        match self {
            Self::Fmt => lanes::fmt::run(cx),
            Self::Tidy => lanes::tidy::run(cx),
            Self::Clippy => lanes::clippy::run(cx),
            Self::Test => lanes::test::run(cx),
            Self::Doc => lanes::doc::run(cx),
            Self::Site => lanes::site::run(cx),
            Self::Deny => lanes::deny::run(cx),
            Self::Msrv => lanes::msrv::run(cx),
            Self::Loom => lanes::loom::run(cx),
            Self::Shuttle => lanes::shuttle::run(cx),
            Self::Stress => lanes::stress::run(cx),
            Self::Zoo => lanes::zoo::run(cx),
            Self::Compare => lanes::compare::run(cx),
            Self::Miri => lanes::miri::run(cx),
            Self::Tsan => lanes::tsan::run(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_found_by_its_name() {
        for lane in Lane::ALL {
            assert_eq!(Lane::named(lane.name()), Some(lane));
        }
        assert_eq!(Lane::named("ci"), None);
    }
}
