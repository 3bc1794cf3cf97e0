//! `careful`: tests with the checks that the standard library has for its callers, of the crates
//! that ask for it in their manifests.

use crate::{
    cx::Cx,
    lanes::test,
    outcome::Stop,
    process::Cmd,
    tools::{self, CARGO_CAREFUL},
};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let packages = super::asking_for(cx.workspace, "careful")?;
    cx.report.rustc = tools::require_nightly(cx, &["rust-src"])?;
    let program = CARGO_CAREFUL.require(cx)?;
    // A process for each test where nextest is there: what one test does to its process is not the
    // others'.
    let nextest = test::has_nextest();
    let runner: &[&str] = if nextest { &["nextest", "run", "--no-tests=pass"] } else { &["test"] };
    // Called by its path: cargo would not find what is installed beside the reports.
    let cmd = Cmd::new(program)
        .arg("careful")
        .args(runner)
        .args(["--locked", "--no-fail-fast", "--lib", "--tests"])
        .packages(packages.iter().copied())
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .env("CARGO_TARGET_DIR", cx.target("careful"))
        // What tests of latency allow.
        .env("TIDEGATE_SLOWNESS", "4")
        .env("PROPTEST_CASES", "64")
        .env("TIDEGATE_STRESS_MS", "500")
        // Those of the toolchain that runs this program.
        .env_remove("RUSTC")
        .env_remove("RUSTDOC")
        .env_remove("CARGO");
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = test::read(nextest, &finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &packages)
}
