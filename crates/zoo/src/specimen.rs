//! What a specimen is.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// Where the bug was found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A thread on GitHub: the repository and the number of the issue or pull request.
    GitHub(&'static str, u32),
    /// A page: what to call it, and its address.
    Page(&'static str, &'static str),
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (text, url) = match *self {
            // Leads to a pull request as well.
            Self::GitHub(repository, number) => (
                format!("{repository}#{number}"),
                format!("https://github.com/{repository}/issues/{number}"),
            ),
            Self::Page(text, url) => (text.to_owned(), url.to_owned()),
        };
        let mut source = serializer.serialize_struct("Source", 2)?;
        source.serialize_field("text", &text)?;
        source.serialize_field("url", &url)?;
        source.end()
    }
}

/// What runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Tasks and futures.
    Async,
    /// Threads of the operating system.
    Threads,
}

/// With the bug, or cured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Variant {
    /// As it was found.
    Planted,
    /// The same program without the bug.
    Control,
}

impl Variant {
    /// Whether the bug is in it.
    pub(crate) fn has_bug(self) -> bool {
        self == Self::Planted
    }
}

/// What a test is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tool {
    /// `tidegate-testkit`.
    Ours,
    /// `#[tokio::test]`.
    TokioTest,
    /// `#[tokio::test(start_paused = true)]`.
    TokioPaused,
    /// `#[test]` with a loop around it.
    Plain,
    /// A model of loom's, in a build under `--cfg tidegate_loom`.
    Loom,
    /// A program of shuttle's, in a build under `--cfg tidegate_shuttle`.
    Shuttle,
}

/// A test of one of the two variants; it panics if it fails.
pub(crate) type Test = fn(Variant);

/// A bug, its cure, and the tests for it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Specimen {
    /// In kebab case.
    pub(crate) name: &'static str,
    /// What runs at once.
    pub(crate) kind: Kind,
    /// Where it was found.
    pub(crate) source: Source,
    /// What goes wrong, in a sentence.
    pub(crate) about: &'static str,
    /// One for each tool that it can be written for.
    #[serde(rename = "tools", serialize_with = "tools")]
    pub(crate) tests: &'static [(Tool, Test)],
}

impl Specimen {
    /// The test that is written with `tool`.
    pub(crate) fn test(&self, tool: Tool) -> Option<Test> {
        self.tests.iter().find(|(with, _)| *with == tool).map(|(_, test)| *test)
    }
}

fn tools<S: Serializer>(tests: &&'static [(Tool, Test)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tests.iter().map(|(tool, _)| tool))
}
