//! The list of lanes.

use std::{fmt, time::Duration};

use crate::{cx::Cx, lanes, outcome::Stop, profile::Profile, selftest};

/// One thing that is verified by one command.
#[derive(Clone, Copy)]
pub struct Lane {
    name: &'static str,
    about: &'static str,
    /// Expected seconds on two cores from nothing; `None` where the profile `pr` leaves it out.
    pr: Option<u64>,
    /// The same with the settings of the profile `nightly`.
    nightly: u64,
    run: fn(&mut Cx<'_>) -> Result<(), Stop>,
}

/// All lanes in the order `ci` runs them: what fails fast comes first.
const TABLE: &[Lane] = &[
    Lane {
        name: "fmt",
        about: "rustfmt finds nothing to change",
        pr: Some(5),
        nightly: 5,
        run: lanes::fmt::run,
    },
    Lane {
        name: "tidy",
        about: "the rules of the house that a program can check",
        pr: Some(10),
        nightly: 5,
        run: lanes::tidy::run,
    },
    Lane {
        name: "clippy",
        about: "no lint fires, with all features and with none",
        pr: Some(60),
        nightly: 60,
        run: lanes::clippy::run,
    },
    Lane {
        name: "test",
        about: "unit, integration and documentation tests",
        pr: Some(250),
        nightly: 330,
        run: lanes::test::run,
    },
    Lane {
        name: "cancel",
        about: "operations that are dropped at each of their awaits",
        pr: Some(5),
        nightly: 5,
        run: lanes::cancel::run,
    },
    Lane {
        name: "features",
        about: "the published crates build with each feature alone, and with none",
        pr: Some(40),
        nightly: 60,
        run: lanes::features::run,
    },
    Lane {
        name: "doc",
        about: "the API documentation builds without a warning",
        pr: Some(15),
        nightly: 10,
        run: lanes::doc::run,
    },
    Lane {
        name: "site",
        about: "the book builds, its code runs, its links lead somewhere",
        pr: Some(80),
        nightly: 80,
        run: lanes::site::run,
    },
    Lane {
        name: "deny",
        about: "licences, banned and duplicate crates, sources",
        pr: Some(45),
        nightly: 55,
        run: lanes::deny::run,
    },
    Lane {
        name: "msrv",
        about: "the published crates build with the stated Rust version",
        pr: Some(15),
        nightly: 10,
        run: lanes::msrv::run,
    },
    Lane {
        name: "minimal-versions",
        about: "the published crates build with the oldest versions they say they take",
        pr: Some(20),
        nightly: 20,
        run: lanes::minimal::run,
    },
    Lane {
        name: "semver",
        about: "the public API allows what the version promises",
        pr: None,
        nightly: 300,
        run: lanes::semver::run,
    },
    Lane {
        name: "loom",
        about: "every interleaving of the models (2 preemptions; nightly: 3)",
        pr: Some(90),
        nightly: 600,
        run: lanes::loom::run,
    },
    Lane {
        name: "shuttle",
        about: "whole scopes under thousands of schedules each",
        pr: Some(70),
        nightly: 300,
        run: lanes::shuttle::run,
    },
    Lane {
        name: "stress",
        about: "seeded, time-boxed, oversubscribed tests",
        pr: Some(125),
        nightly: 400,
        run: lanes::stress::run,
    },
    Lane {
        name: "zoo",
        about: "the testkit tells planted bugs from their cures",
        pr: Some(65),
        nightly: 65,
        run: lanes::zoo::run,
    },
    Lane {
        name: "compare",
        about: "treesum agrees with the b3sum program",
        pr: Some(75),
        nightly: 75,
        run: lanes::compare::run,
    },
    Lane {
        name: "miri",
        about: "unit tests without undefined behaviour",
        pr: Some(160),
        nightly: 180,
        run: lanes::miri::run,
    },
    Lane {
        name: "tsan",
        about: "tests without a data race",
        pr: Some(230),
        nightly: 520,
        run: lanes::tsan::run,
    },
    Lane {
        name: "explore",
        about: "tests on many schedules of their tasks, each from a seed",
        pr: Some(55),
        nightly: 55,
        run: lanes::explore::run,
    },
    Lane {
        name: "careful",
        about: "tests with a standard library that checks its callers",
        pr: None,
        nightly: 150,
        run: lanes::careful::run,
    },
    Lane {
        name: "mutants",
        about: "a test notices when the code of a state machine is changed",
        pr: None,
        nightly: 800,
        run: lanes::mutants::run,
    },
    Lane {
        name: "icount",
        about: "hot paths take no more instructions than they were recorded with",
        pr: None,
        nightly: 120,
        run: lanes::icount::run,
    },
    Lane {
        name: "selftest",
        about: "each lane fails for a bug that is planted for it, and for nothing else",
        pr: None,
        nightly: 600,
        run: selftest::run,
    },
];

impl Lane {
    /// All lanes in the order `ci` runs them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        TABLE
    }

    /// The lane called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().copied().find(|lane| lane.name == name)
    }

    /// The name on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One line for the help.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Whether a profile runs it unasked.
    #[must_use]
    pub fn is_in(&self, profile: Profile) -> bool {
        profile == Profile::Nightly || self.pr.is_some()
    }

    /// How long it takes on two cores from nothing.
    #[must_use]
    pub fn cost(&self, profile: Profile) -> Duration {
        Duration::from_secs(profile.pick(self.pr.unwrap_or(self.nightly), self.nightly))
    }

    /// Its time limit: several times what it takes, for a machine that does other things, too, and
    /// what it takes to build what in a run of all lanes an earlier one has built.
    #[must_use]
    pub fn limit(&self, profile: Profile) -> Duration {
        Duration::from_secs(600) + 3 * self.cost(profile)
    }

    /// Runs the lane.
    ///
    /// # Errors
    /// Why the lane did not pass.
    pub fn run(&self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        (self.run)(cx)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_found_by_its_name() {
        for lane in Lane::all() {
            let same = Lane::all().iter().filter(|other| other.name == lane.name).count();
            assert_eq!(same, 1, "{lane:?}");
            assert_eq!(Lane::named(lane.name()).unwrap().about(), lane.about());
        }
        assert!(Lane::named("ci").is_none());
    }

    #[test]
    fn the_profiles_keep_their_time() {
        for (profile, minutes) in [(Profile::Pr, 25), (Profile::Nightly, 85)] {
            let lanes = Lane::all().iter().filter(|lane| lane.is_in(profile));
            let cost: Duration = lanes.map(|lane| lane.cost(profile)).sum();
            assert!(cost <= Duration::from_secs(60 * minutes), "{profile}: {cost:?}");
        }
    }
}
