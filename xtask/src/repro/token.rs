//! What a failing lane prints: `stress@3ee12b1c96+1f/tidegate-core::all/stress::storm`.

use std::{fmt, str::FromStr};

use super::Focus;
use crate::{failures::Failure, profile::Profile, report::Report, workspace::Workspace};

/// A lane, a commit, a seed and a test. No character of its text means anything to a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The lane.
    pub lane: String,
    /// With the settings of which profile.
    pub profile: Profile,
    /// Where it failed.
    pub commit: Commit,
    /// The seed, if one was told.
    pub seed: Option<u64>,
    /// `package` for unit tests, `package::file` for others.
    pub program: String,
    /// The test; none if the program ended before it could say.
    pub test: Option<String>,
}

/// A commit, and whether there was more than that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The first digits of its hash; empty without version control.
    pub id: String,
    /// Files had changes that are in no commit.
    pub changed: bool,
}

impl Commit {
    /// What is to be said if a token of this commit is used at `here`.
    #[must_use]
    pub fn warning(&self, here: &Self) -> Option<String> {
        let Self { id, .. } = self;
        if self.id != here.id {
            return Some(format!("it failed at commit {id}, and this is {}", here.id));
        }
        let changed = self.changed || here.changed;
        changed.then(|| format!("files were or are changed since commit {id}"))
    }
}

/// The text is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError(String);

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no token: a failing lane prints them after `repro:`", self.0)
    }
}

impl std::error::Error for TokenError {}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lane)?;
        if self.profile != Profile::Pr {
            write!(f, ".{}", self.profile)?;
        }
        // `x` is no digit of a hash.
        write!(f, "@{}{}", self.commit.id, if self.commit.changed { "x" } else { "" })?;
        if let Some(seed) = self.seed {
            write!(f, "+{seed:x}")?;
        }
        write!(f, "/{}", self.program)?;
        self.test.as_ref().map_or(Ok(()), |test| write!(f, "/{test}"))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        read(text.trim()).ok_or_else(|| TokenError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Token> {
    let (lane, rest) = text.split_once('@')?;
    let (lane, profile) = match lane.split_once('.') {
        Some((lane, profile)) => (lane, Profile::named(profile)?),
        None => (lane, Profile::Pr),
    };
    let (place, test) = rest.split_once('/')?;
    let (commit, seed) = match place.split_once('+') {
        Some((commit, seed)) => (commit, Some(u64::from_str_radix(seed, 16).ok()?)),
        None => (place, None),
    };
    let (id, changed) = commit.strip_suffix('x').map_or((commit, false), |id| (id, true));
    let (program, test) = match test.split_once('/') {
        Some((program, test)) => (program, Some(test.to_owned())),
        None => (test, None),
    };
    let whole = !lane.is_empty() && !program.is_empty() && test.as_deref() != Some("");
    whole.then(|| Token {
        lane: lane.to_owned(),
        profile,
        commit: Commit { id: id.to_owned(), changed },
        seed,
        program: program.to_owned(),
        test,
    })
}

impl Token {
    /// The test as cargo finds it.
    ///
    /// # Errors
    /// When the workspace has no such package.
    pub fn focus(&self, workspace: &Workspace) -> Result<Focus, String> {
        let (package, file) = split(&self.program);
        let member = workspace
            .members
            .iter()
            .find(|member| member.name == package)
            .ok_or_else(|| format!("there is no package {package}"))?;
        let program = match file {
            Some(file) => format!("--test={file}"),
            None if member.has_lib() => "--lib".to_owned(),
            None => "--bins".to_owned(),
        };
        Ok(Focus { package: package.to_owned(), program, test: self.test.clone(), seed: self.seed })
    }
}

fn split(program: &str) -> (&str, Option<&str>) {
    program.split_once("::").map_or((program, None), |(package, file)| (package, Some(file)))
}

/// The token of a failure; none where it is no test of ours, but an error of the compiler or a
/// doctest, which has no name that could be asked for.
pub(super) fn of(
    report: &Report,
    failure: &Failure,
    workspace: &Workspace,
    commit: &Commit,
) -> Option<Token> {
    let (program, test) = failure.name.split_once(' ')?;
    let (package, _) = split(program);
    if !workspace.members.iter().any(|member| member.name == package) || test.starts_with('(') {
        return None;
    }
    let named = |test: &&str| !test.contains(|c: char| c.is_whitespace() || c == '/');
    let test = Some(test).filter(named).or_else(|| interrupted(failure));
    Some(Token {
        lane: report.lane.clone(),
        profile: Profile::named(&report.profile).unwrap_or_default(),
        commit: commit.clone(),
        seed: seed(failure).or_else(|| report.seed.as_deref().and_then(number)),
        program: program.to_owned(),
        test: test.map(str::to_owned),
    })
}

/// The test in whose line its program ended: `test NAME ... error: Undefined Behavior`.
fn interrupted(failure: &Failure) -> Option<&str> {
    failure.output.iter().find_map(|line| {
        let (test, _) = line.trim_start().strip_prefix("test ")?.split_once(" ... ")?;
        (!test.contains(' ')).then_some(test)
    })
}

/// The seed that the test itself told last.
fn seed(failure: &Failure) -> Option<u64> {
    failure.output.iter().rev().find_map(|line| {
        let (_, rest) = line.rsplit_once("TIDEGATE_SEED=")?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        number(&rest[..end])
    })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
