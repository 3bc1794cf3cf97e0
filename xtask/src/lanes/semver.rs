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
    cx.report.tests = checks;
    cx.report.explored = crates(&finished.output);
    "APIs compared".clone_into(&mut cx.report.unit);
    if !finished.success {
        return Err(Stop::fail(format!(
            "the API breaks what {tag} promised, or could not be read"
        )));
    }
    if checks == 0 {
        return Err(Stop::fail(format!("no check ran next to {tag}")));
    }
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

/// The sum of all `N checks:` lines.
fn checks(output: &str) -> u64 {
    lines_of(output)
        .filter_map(|line| line.split("] ").nth(1)?.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

fn crates(output: &str) -> u64 {
    lines_of(output).count() as u64
}

fn lines_of(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter(|line| line.trim_start().starts_with("Checked ["))
}
