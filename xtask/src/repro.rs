//! `repro`: the one test that failed, again, as its lane ran it.
//!
//! A failing lane prints a [`Token`] for each test. What it stands for is run by the lane's own
//! code, which is given a [`Focus`]: the command it makes is narrowed to the test, and its flags,
//! variables and build directory stay as they are.

mod focus;
mod token;

use std::{io, path::Path, process::ExitCode};

pub use self::{
    focus::Focus,
    token::{Commit, Token, TokenError},
};
use crate::{
    cx::{self, Cx, Finished, Options},
    failures::Failure,
    lane::Lane,
    outcome::Stop,
    parse,
    process::{Cmd, Runner},
    profile::Profile,
    report::Report,
    term,
    workspace::{Workspace, version_line},
};

/// Lanes whose failures are tests that a command of theirs can be narrowed to.
const LANES: [&str; 8] = ["test", "cancel", "loom", "shuttle", "stress", "miri", "tsan", "careful"];
/// What is said of a test that is still wrong.
pub const AGAIN: &str = "it failed again";
/// How many tests of a lane get a token.
const TOKENS_MAX: usize = 10;

/// A token for each test that failed.
#[must_use]
pub fn tokens(report: &Report, failures: &[Failure], workspace: &Workspace) -> Vec<Token> {
    if !LANES.contains(&report.lane.as_str()) {
        return Vec::new();
    }
    let commit = commit(&workspace.root);
    let mut tokens: Vec<Token> = Vec::new();
    for failure in failures {
        if let Some(token) = token::of(report, failure, workspace, &commit) {
            if !tokens.contains(&token) && tokens.len() < TOKENS_MAX {
                tokens.push(token);
            }
        }
    }
    tokens
}

/// Runs the test of a token. It succeeds if the test passes.
///
/// # Errors
/// When the text is no token of this workspace, or the test cannot be run.
pub fn run(text: &str) -> io::Result<ExitCode> {
    let token: Token = text.parse().map_err(io::Error::other)?;
    let workspace = Workspace::load()?;
    if let Some(warning) = token.commit.warning(&commit(&workspace.root)) {
        term::err(format_args!("repro: {warning}"));
    }
    let runner = Runner::of_this_program(workspace.root.clone());
    let ended = again(&token, &workspace, &runner);
    term::out(format_args!("{}", cx::read_log(&workspace.reports().join("repro.log"))));
    if let Err(stop) = ended {
        term::err(format_args!("repro: {}: {}", stop.outcome, stop.reason));
        return Ok(ExitCode::FAILURE);
    }
    term::out(format_args!("repro: it passed this time"));
    Ok(ExitCode::SUCCESS)
}

/// Runs the test of a token once more, as its lane does.
///
/// # Errors
/// Why it did not pass.
pub fn again(token: &Token, workspace: &Workspace, runner: &Runner) -> Result<(), Stop> {
    let lane = Lane::named(&token.lane)
        .ok_or_else(|| Stop::fail(format!("there is no lane {}", token.lane)))?;
    let focus = token.focus(workspace).map_err(Stop::fail)?;
    let options = Options { profile: token.profile, ..Options::default() };
    let mut cx = Cx::focused(workspace, runner, options, lane.limit(Profile::Nightly), focus)?;
    let ended = cx.narrowed(|cx| lane.run(cx));
    let command = cx.report.command.last().cloned().unwrap_or_default();
    judge(ended, &command)
}

/// What the one test says.
fn judge(ended: Result<Finished, Stop>, command: &str) -> Result<(), Stop> {
    let finished = ended?;
    let tests = parse::cargo_test(&finished.output);
    let nextest = parse::nextest(&finished.output);
    if !finished.success {
        return Err(Stop::fail(format!("{AGAIN}: `{command}`")));
    }
    if tests.passed + nextest.passed == 0 {
        return Err(Stop::fail("there is no such test any more"));
    }
    Ok(())
}

/// Where the workspace stands.
fn commit(root: &Path) -> Commit {
    let git = |args: &[&str]| {
        version_line(&Cmd::new("git").arg("-C").arg(root).args(args.iter().copied()))
    };
    Commit {
        id: git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_default(),
        changed: git(&["status", "--porcelain", "--untracked-files=no"]).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn a_test_that_is_gone_does_not_pass() {
        let ended = |success, output: &str| {
            judge(Ok(Finished { success, output: output.to_owned() }), "cargo test")
        };
        assert!(ended(true, "test result: ok. 1 passed; 0 failed; 0 ignored").is_ok());
        let gone = ended(true, "test result: ok. 0 passed; 0 failed; 0 ignored").unwrap_err();
        assert_eq!(gone.reason, "there is no such test any more");
        let again = ended(false, "test result: FAILED. 0 passed; 1 failed").unwrap_err();
        assert_eq!(
            (again.outcome, again.reason.as_str()),
            (Outcome::Fail, "it failed again: `cargo test`")
        );
        assert!(ended(true, "     Summary [   0.004s] 0 tests run: 0 passed, 30 skipped").is_err());
        let nextest = "        PASS [   0.004s] (1/1) a b\n Summary [ 0.004s] 1 test run: 1 passed";
        assert!(ended(true, nextest).is_ok());
    }
}
