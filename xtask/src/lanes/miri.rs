//! `miri`: unit tests without undefined behaviour.
//!
//! Those of the crates that ask for it in their manifests, and in part: big tests and those that
//! need a system call Miri does not know are left out by `cfg(miri)` where they are written.
//! `fs-walk` does not ask: it is system calls throughout, by a library that is another one there.

use crate::{cx::Cx, outcome::Stop, parse, process::Cmd, tools};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let packages = super::asking_for(cx.workspace, "miri")?;
    cx.report.rustc = tools::require_nightly(cx, &["miri", "rust-src"])?;
    let cmd = Cmd::cargo_of("nightly")
        .args(["miri", "test", "--locked", "--no-fail-fast", "--lib"])
        .packages(packages.iter().copied())
        .env("CARGO_TARGET_DIR", cx.target("miri"))
        // The clock and the environment are those of the host: nothing here depends on them.
        .env("MIRIFLAGS", "-Zmiri-strict-provenance -Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4");
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &packages)
}
