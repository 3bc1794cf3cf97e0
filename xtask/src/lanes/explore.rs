//! `explore`: the schedules of tests, each from a seed, with all tasks preempted.
//!
//! Tokio lets a program look at the polls of tasks only in a build with `tokio_unstable`.

use crate::{cx::Cx, outcome::Stop, parse, process::Cmd};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "seeds".clone_into(&mut cx.report.unit);
    let packages: Vec<&str> = super::members_with(cx.workspace, "fn explore_")?
        .into_iter()
        .map(|package| package.name.as_str())
        .collect();
    if packages.is_empty() {
        return Err(Stop::fail("no crate has a test that explores its schedules"));
    }
    let cmd = Cmd::cargo()
        .args(["test", "--locked", "--all-features", "--lib", "--tests"])
        .args(cx.options.keep_going.then_some("--no-fail-fast"))
        .packages(packages.iter().copied())
        .args(["--", "--nocapture", "explore_"])
        .env("CARGO_TARGET_DIR", cx.target("unstable"))
        .env("RUSTFLAGS", "--cfg tokio_unstable")
        // It would stand in place of all seeds.
        .env_remove("TIDEGATE_SEED");
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    let seeds = parse::counted(&finished.output, "explore-seeds");
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = seeds.iter().map(|(_, seeds)| seeds).sum();
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &packages)?;
    super::each_counted(&seeds, &packages, "did not tell with how many seeds it ran")
}
