//! `cancel`: operations that are dropped at each of their awaits.

use crate::{cx::Cx, outcome::Stop, parse, process::Cmd};

/// Tests called `cancel_..`, and those of a module `cancel`.
const NAMES: [&str; 2] = ["cancel_", "cancel::"];

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "points".clone_into(&mut cx.report.unit);
    let packages: Vec<&str> = super::members_with(cx.workspace, "cancel_everywhere(")?
        .into_iter()
        .map(|package| package.name.as_str())
        .filter(|name| cx.workspace.defaults.iter().any(|default| default == name))
        .collect();
    if packages.is_empty() {
        return Err(Stop::fail("no crate has a cancellation test"));
    }
    // The same build as lane `test`; crates that drop nothing have a few tests of such names.
    let cmd = Cmd::cargo()
        .args(["test", "--locked", "--all-features", "--lib", "--bins", "--tests"])
        .args(cx.options.keep_going.then_some("--no-fail-fast"))
        .args(["--", "--nocapture"])
        .args(NAMES);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    let points = parse::cancel_points(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = points.iter().map(|(_, points)| points).sum();
    cx.crates(packages.iter().copied());
    super::each_passed(&tests, finished.success, &packages)?;
    judge(&packages, &points)
}

/// An operation without a point was not dropped anywhere; each crate needs one that was.
fn judge(packages: &[&str], points: &[(String, u64)]) -> Result<(), Stop> {
    let has = |package: &&str| points.iter().any(|(name, n)| name == package && *n > 0);
    match packages.iter().find(|package| !has(package)) {
        Some(idle) => Err(Stop::fail(format!("{idle} dropped no operation at any point"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_must_have_dropped_an_operation_somewhere() {
        let output = "\
     Running unittests src/lib.rs (deps/tidegate_a-1)
     Running tests/all.rs (deps/all-1)
test cancel_a ... cancel-points: cancel_a 4
     Running unittests src/lib.rs (deps/tidegate_b-1)
cancel-points: cancel_b 0
     Running unittests src/lib.rs (deps/tidegate_c-1)
test cancel_a ... ok
";
        let points = parse::cancel_points(output);
        assert_eq!(points, [("tidegate-a".into(), 4), ("tidegate-b".into(), 0)]);
        assert!(judge(&["tidegate-a"], &points).is_ok());
        assert!(judge(&["tidegate-a", "tidegate-b"], &points).is_err());
        assert!(judge(&["tidegate-c"], &points).is_err());
    }
}
