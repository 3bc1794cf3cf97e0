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
    let points = parse::counted(&finished.output, "cancel-points");
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = points.iter().map(|(_, points)| points).sum();
    cx.crates(packages.iter().copied());
    super::each_passed(&tests, finished.success, &packages)?;
    // An operation without a point was not dropped anywhere; each crate needs one that was.
    super::each_counted(&points, &packages, "dropped no operation at any point")
}
