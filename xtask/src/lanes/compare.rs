//! `compare`: treesum agrees with the b3sum program on a large generated tree.

use crate::{cx::Cx, outcome::Stop, parse, process::Cmd, tools::B3SUM};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let b3sum = B3SUM.require(cx)?;
    let cmd = Cmd::cargo()
        .args(["test", "--locked", "--release", "-p", "treesum"])
        .args(["--", "--nocapture", "--test-threads=1", "compare_"])
        // The same build as lane `stress`.
        .env("CARGO_TARGET_DIR", cx.target("stress"))
        .env("TREESUM_B3SUM", b3sum);
    let cmd = super::quick_release(cmd);
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = parse::files_compared(&finished.output);
    "files".clone_into(&mut cx.report.unit);
    super::all_passed(&tests, finished.success)?;
    cx.crates(["treesum"]);
    match parse::comparisons(&finished.output) {
        told if told == tests.passed => Ok(()),
        told => Err(Stop::fail(format!(
            "{} tests passed, {told} told what they compared",
            tests.passed
        ))),
    }
}
