//! `miri`: unit tests without undefined behaviour.

use crate::{cx::Cx, outcome::Stop, parse, process::Cmd, tools};

/// The crates whose unit tests Miri can run, in part: big tests and those that need a system call
/// it does not know are left out by `cfg(miri)` where they are written. `fs-walk` is system calls
/// throughout, by a library that is another one under Miri.
const PACKAGES: [&str; 3] = ["tidegate-core", "tidegate-pipeline", "tidegate-testkit"];

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    cx.report.rustc = tools::require_nightly(cx, &["miri", "rust-src"])?;
    let cmd = Cmd::cargo_of("nightly")
        .args(["miri", "test", "--locked", "--no-fail-fast", "--lib"])
        .packages(PACKAGES)
        .env("CARGO_TARGET_DIR", cx.target("miri"))
        // The clock and the environment are those of the host: nothing here depends on them.
        .env("MIRIFLAGS", "-Zmiri-strict-provenance -Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4");
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &PACKAGES)
}
