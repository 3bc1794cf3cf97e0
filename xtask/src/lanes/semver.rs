//! `semver`: the public API of this version allows what its number promises, next to the last one.
//!
//! The last version is the newest tag `v..` that this commit descends from. While there is none,
//! there is nothing to break.

use crate::{cx::Cx, outcome::Stop, process::Cmd, tools::CARGO_SEMVER_CHECKS};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let tags = Cmd::new("git").args([
        "tag",
        "--list",
        "v[0-9]*",
        "--merged",
        "HEAD",
        "--sort=-version:refname",
    ]);
    let shallow = Cmd::new("git").args(["rev-parse", "--is-shallow-repository"]);
    let (tags, shallow) = (cx.check(&tags)?, cx.check(&shallow)?);
    let tag = baseline(&tags, shallow.trim() == "true")?;
    let program = CARGO_SEMVER_CHECKS.require(cx)?;
    let workspace = cx.workspace;
    let cmd = Cmd::new(program)
        .args(["semver-checks", "check-release", "--baseline-rev", tag.as_str()])
        .packages(workspace.published_names())
        .env("CARGO_TARGET_DIR", cx.target("semver"));
    let finished = cx.run(&cmd)?;
    let checks = checks(&finished.output);
    cx.report.tests = checks.iter().sum();
    cx.report.explored = checks.len() as u64;
    "APIs compared".clone_into(&mut cx.report.unit);
    if !finished.success {
        return Err(Stop::fail(format!(
            "the API breaks what {tag} promised, or could not be read"
        )));
    }
    judge(&finished.output, &tag)?;
    cx.crates(workspace.published_names());
    cx.report.reason = format!("compared with {tag}");
    Ok(())
}

/// The newest tag.
fn baseline(tags: &str, shallow: bool) -> Result<String, Stop> {
    match tags.lines().map(str::trim).find(|tag| !tag.is_empty()) {
        Some(tag) => Ok(tag.to_owned()),
        None if shallow => {
            let install = "git fetch --unshallow --tags";
            Err(Stop::unavailable("this clone has no tags, and is not whole", install))
        }
        None => Err(Stop::skipped("no version has been tagged: there is nothing to compare with")),
    }
}

/// A version that allows everything has nothing checked; otherwise something was.
fn judge(output: &str, tag: &str) -> Result<(), Stop> {
    if checks(output).iter().sum::<u64>() > 0 {
        return Ok(());
    }
    if output.contains("(major change)") {
        return Err(Stop::skipped(format!("the version allows any change since {tag}")));
    }
    Err(Stop::fail(format!("no check ran next to {tag}")))
}

/// How many checks ran in each crate: lines `Checked [ 0.005s] 196 checks: 196 pass, 49 skip`.
fn checks(output: &str) -> Vec<u64> {
    output
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("Checked ["))
        .filter_map(|line| line.split_once(']')?.1.split_whitespace().next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn the_newest_tag_is_the_baseline_and_without_one_there_is_nothing_to_do() {
        assert_eq!(baseline("v0.10.0\nv0.9.0\n", true).unwrap(), "v0.10.0");
        assert_eq!(baseline("\n", false).unwrap_err().outcome, Outcome::Skipped);
        let shallow = baseline("", true).unwrap_err();
        assert_eq!(shallow.outcome, Outcome::Unavailable, "its tags may be elsewhere");
    }

    #[test]
    fn no_check_is_a_failure_unless_the_version_allows_everything() {
        let judged = |checks, change| {
            let output =
                format!("Checking a v0.1.0 -> v0.2.0 ({change})\nChecked [ 0.0s] {checks}");
            judge(&output, "v0.1.0").map_err(|stop| stop.outcome)
        };
        assert_eq!(judged("9 checks: 9 pass", "no change"), Ok(()));
        assert_eq!(judged("0 checks: 0 pass", "no change"), Err(Outcome::Fail));
        assert_eq!(judged("0 checks: 0 pass", "major change"), Err(Outcome::Skipped));
    }

    #[test]
    fn checks_are_counted_for_each_crate() {
        let output = "\
     Parsing tidegate-core v0.1.0 (baseline)
     Checked [   0.005s] 196 checks: 195 pass, 1 fail, 0 warn, 49 skip
--- failure function_missing: pub fn removed ---
     Checked [   0.004s] 90 checks: 90 pass, 49 skip
";
        assert_eq!(checks(output), [196, 90]);
        assert_eq!(checks("error: Checked nothing"), [] as [u64; 0]);
    }
}
