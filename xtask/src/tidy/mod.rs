//! The rules of the house that a program can check. Each check is a function over a [`Tree`] and
//! has a test with a planted violation next to its clean twin.

pub mod api;
pub mod arrows;
pub mod banned;
pub mod budget;
pub mod proofs;
pub mod shape;
pub mod site;
pub mod syntax;
pub mod tree;
pub mod workflows;

use std::fmt;

pub use tree::{Source, Tree};

/// A rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A path below the root, or a package.
    pub place: String,
    /// Counted from 1; 0 where the place is not a line.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl Violation {
    /// A violation of `place` as a whole.
    pub fn of(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), line: 0, what: what.into() }
    }

    /// A violation at a line.
    pub fn at(place: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self { place: place.into(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.what),
            line => write!(f, "{}:{line}: {}", self.place, self.what),
        }
    }
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The name in the log.
    pub name: &'static str,
    /// Finds its violations.
    pub run: fn(&Tree) -> Vec<Violation>,
}

/// All rules but the dependency budgets, which need `cargo tree`.
pub const CHECKS: &[Check] = &[
    Check { name: "files parse", run: tree::parse_errors },
    Check { name: "arrows between crates", run: arrows::arrows },
    Check { name: "testkit is a dev-dependency without a version", run: arrows::testkit },
    Check { name: "tests use testkit", run: arrows::testkit_used },
    Check { name: "manifests", run: arrows::manifests },
    Check { name: "module names", run: shape::names },
    Check { name: "lib.rs is short and without logic", run: shape::lib },
    Check { name: "file length", run: shape::length },
    Check { name: "no unsafe code", run: shape::no_unsafe },
    Check { name: "README and CHANGELOG", run: shape::front_pages },
    Check { name: "# Errors and # Cancel safety", run: api::sections },
    Check { name: "tests of cancel safety", run: proofs::cancel_safety },
    Check { name: "no ignored test", run: banned::ignored },
    Check { name: "no unfinished code", run: banned::unfinished },
    Check { name: "no plain cfg(loom)", run: banned::plain_loom },
    Check { name: "no fence", run: banned::fences },
    Check { name: "core names the runtime in one place", run: banned::runtime },
    Check { name: "models run to the end", run: banned::bounded_models },
    Check { name: "lint levels have reasons", run: banned::reasons },
    Check { name: "examples run", run: banned::examples },
    Check { name: "pages are tested", run: site::pages },
    Check { name: "workflows call lanes", run: workflows::lanes },
    Check { name: "workflows pin what they use", run: workflows::pins },
    Check { name: "workflows may do little, and not for long", run: workflows::bounds },
    Check { name: "no machine paths", run: site::machine_paths },
];

#[cfg(test)]
mod fixture;
