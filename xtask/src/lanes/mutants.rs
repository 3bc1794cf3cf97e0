//! `mutants`: a test notices when the code of a state machine is changed.
//!
//! Which machines, says [`FILES`]. There is no time for all of their mutants in one night, so
//! each night takes a part of them that its seed picks; for a change, those of its lines.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{clock, cx::Cx, outcome::Stop, process::Cmd, profile::Profile, tools::CARGO_MUTANTS};

/// What decides, and is plain code: the loops of a shell and what is written for people are left
/// out, for a mutant there says more about its test than about what users meet.
const FILES: [&str; 10] = [
    "crates/core/src/backoff.rs",
    "crates/core/src/budget.rs",
    "crates/core/src/scope/ledger.rs",
    "crates/core/src/scope/slots.rs",
    "crates/core/src/supervisor/state/mod.rs",
    "crates/core/src/supervisor/state/failure.rs",
    "crates/testkit/src/fault/script.rs",
    "crates/testkit/src/linear/search.rs",
    "crates/testkit/src/linear/shrink.rs",
    "crates/testkit/src/rng.rs",
];

/// Into how many parts the mutants are dealt; one takes some ten minutes.
const PARTS: u64 = 10;

/// How many of a hundred mutants must be noticed.
const CAUGHT_MIN: u64 = 90;

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "mutants".clone_into(&mut cx.report.unit);
    let program = CARGO_MUTANTS.require(cx)?;
    let dir = cx.target("mutants");
    fs::create_dir_all(&dir)?;
    let mut cmd = Cmd::new(program)
        .args(["mutants", "--no-shuffle", "--sharding=round-robin", "--colors=never", "--output"])
        .arg(dir.as_os_str())
        .args(FILES.iter().flat_map(|file| ["--file", file]))
        .env("CARGO_TARGET_DIR", dir.join("build"))
        .env("TIDEGATE_STRESS_MS", "50");
    cmd = match cx.options.profile {
        Profile::Pr => cmd.arg("--in-diff").arg(change(cx, &dir)?),
        Profile::Nightly => {
            let seed = seed()?;
            cx.report.seed = Some(format!("{seed:#x}"));
            cmd.arg("--shard").arg(format!("{}/{PARTS}", seed % PARTS))
        }
    };
    // Documentation tests take as long to build as all others, and notice little.
    let cmd = cmd.args(["--", "--lib", "--tests"]);
    cx.flags(&cmd);
    // Of an earlier run.
    let out = dir.join("mutants.out");
    let _ = fs::remove_dir_all(&out);
    let finished = cx.run(&cmd)?;
    let Ok(text) = fs::read_to_string(out.join("outcomes.json")) else {
        return Err(nothing(cx.options.profile, finished.success));
    };
    let outcomes: Outcomes = serde_json::from_str(&text)
        .map_err(|error| Stop::fail(format!("outcomes.json: {error}")))?;
    cx.report.explored = outcomes.tried();
    cx.crates(["tidegate-core", "tidegate-testkit"]);
    let missed = fs::read_to_string(out.join("missed.txt")).unwrap_or_default();
    cx.report.reason = outcomes.told();
    let verdict = outcomes.judge(cx.options.profile, finished.success);
    if verdict.is_err() {
        cx.note(format_args!("not noticed by any test:\n{missed}"));
    }
    verdict
}

fn seed() -> Result<u64, Stop> {
    let Ok(text) = std::env::var("TIDEGATE_SEED") else { return Ok(clock::fresh_seed()) };
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|error| Stop::fail(format!("TIDEGATE_SEED={text}: {error}")))
}

/// What differs from the main branch, as a file.
fn change(cx: &mut Cx<'_>, dir: &Path) -> Result<std::path::PathBuf, Stop> {
    let git = |args: &[&str]| Cmd::new("git").args(args.iter().copied());
    let mut base = None;
    for main in ["origin/main", "main"] {
        let found = cx.run(&git(&["merge-base", "HEAD", main]))?;
        base = base.or_else(|| found.success.then(|| found.output.trim().to_owned()));
    }
    let base = base.ok_or_else(|| Stop::fail("there is no branch main to compare with"))?;
    let diff = cx.check(&git(&["diff", "--no-color", &base, "--", "crates"]))?;
    if diff.trim().is_empty() {
        return Err(Stop::skipped("no crate differs from the main branch"));
    }
    let path = dir.join("change.diff");
    fs::write(&path, diff)?;
    Ok(path)
}

/// Why cargo-mutants left no list of what it did.
fn nothing(profile: Profile, success: bool) -> Stop {
    match (profile, success) {
        (Profile::Pr, true) => Stop::skipped("the change is in none of the files with mutants"),
        (Profile::Nightly, true) => Stop::fail("there was no mutant"),
        (_, false) => Stop::fail("cargo-mutants failed"),
    }
}

/// What `outcomes.json` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcomes {
    caught: u64,
    missed: u64,
    timeout: u64,
    unviable: u64,
}

impl Outcomes {
    /// A mutant that does not build was not tried.
    fn tried(&self) -> u64 {
        self.noticed() + self.missed
    }

    /// A test that does not come to its end is noticed, too.
    fn noticed(&self) -> u64 {
        self.caught + self.timeout
    }

    fn told(&self) -> String {
        let Self { missed, timeout, unviable, .. } = self;
        format!(
            "{} of {} noticed, {timeout} of them by a timeout; {missed} missed, {unviable} did not build",
            self.noticed(),
            self.tried()
        )
    }

    /// `success` is what cargo-mutants says of itself: a mutant that was missed or took too long is
    /// none, and neither is a test that fails without any mutant, after which none was tried.
    fn judge(&self, profile: Profile, success: bool) -> Result<(), Stop> {
        if !success && self.missed + self.timeout == 0 {
            return Err(Stop::fail("cargo-mutants failed, or the tests do without a mutant"));
        }
        match (profile, self.tried()) {
            (Profile::Pr, 0) => Err(Stop::skipped("the change has no mutant")),
            (Profile::Nightly, 0) => Err(Stop::fail("there was no mutant")),
            (_, tried) if 100 * self.noticed() < CAUGHT_MIN * tried => {
                Err(Stop::fail(format!("fewer than {CAUGHT_MIN} %: {}", self.told())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn outcome(json: &str, profile: Profile) -> Outcome {
        let outcomes: Outcomes = serde_json::from_str(json).unwrap();
        let success = outcomes.missed + outcomes.timeout == 0;
        outcomes.judge(profile, success).map_or_else(|stop| stop.outcome, |()| Outcome::Pass)
    }

    #[test]
    fn nine_of_ten_mutants_must_be_noticed() {
        let of = |json| outcome(json, Profile::Nightly);
        let text = r#"{"outcomes":[],"caught":80,"timeout":10,"missed":10,"unviable":50}"#;
        assert_eq!(of(text), Outcome::Pass);
        assert_eq!(of(r#"{"caught":89,"timeout":0,"missed":10}"#), Outcome::Fail);
    }

    #[test]
    fn a_run_that_did_not_come_to_its_mutants_is_a_failure() {
        for text in [r#"{"outcomes":[]}"#, r#"{"caught":9}"#] {
            let outcomes: Outcomes = serde_json::from_str(text).unwrap();
            for profile in Profile::ALL {
                assert_eq!(outcomes.judge(profile, false).unwrap_err().outcome, Outcome::Fail);
            }
        }
    }

    #[test]
    fn no_mutant_is_a_failure_but_not_of_a_change() {
        assert_eq!(outcome(r#"{"unviable":3}"#, Profile::Nightly), Outcome::Fail);
        assert_eq!(outcome(r#"{"unviable":3}"#, Profile::Pr), Outcome::Skipped);
        assert_eq!(nothing(Profile::Pr, true).outcome, Outcome::Skipped);
        assert_eq!(nothing(Profile::Pr, false).outcome, Outcome::Fail);
        assert_eq!(nothing(Profile::Nightly, true).outcome, Outcome::Fail);
    }
}
