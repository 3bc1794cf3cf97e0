//! `tsan`: tests without a data race, of the crates that ask for it in their manifests: those that
//! share memory between threads.
//!
//! No crate has `unsafe` code, so a race would be one of a dependency, and would show where threads meet:
//! in the stress tests and the unit tests, which the profile `pr` runs. Other tests take the compiler
//! minutes; nightly runs them, too, but for the crates that ask for `tsan-stress`, whose have one thread.

use std::{collections::BTreeSet, io};

use crate::{
    cx::Cx, lanes::test, outcome::Stop, process::Cmd, profile::Profile, tools, workspace::Workspace,
};

/// The tests of these are one program each, which the optimiser takes minutes for.
const UNOPTIMISED: [&str; 2] = ["tidegate-core", "tidegate-pipeline"];

/// The sanitizer needs a standard library built with it, so the target is named.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Stop::unavailable("ThreadSanitizer is set up for Linux on x86-64", TARGET));
    }
    let packages = super::asking_for(cx.workspace, "tsan")?;
    cx.report.rustc = tools::require_nightly(cx, &["rust-src"])?;
    let mut programs = BTreeSet::from(["--lib".to_owned()]);
    match cx.options.profile {
        Profile::Pr => programs.extend(stress(cx.workspace, &packages)?),
        Profile::Nightly => programs.extend(["--tests".to_owned()]),
    }
    judge(cx, &packages, &programs)?;
    let threads = cx.workspace.asking_for("tsan-stress");
    let programs = stress(cx.workspace, &threads)?;
    if threads.is_empty() { Ok(()) } else { judge(cx, &threads, &programs) }
}

/// The programs of the stress tests of these packages.
fn stress(workspace: &Workspace, packages: &[&str]) -> io::Result<BTreeSet<String>> {
    let programs = super::stress::programs(workspace)?;
    let of_these = packages.iter().filter_map(|package| programs.get(package));
    Ok(of_these.flatten().map(|name| format!("--test={name}")).collect())
}

/// Runs those of the tests of these packages.
fn judge(cx: &mut Cx<'_>, packages: &[&str], programs: &BTreeSet<String>) -> Result<(), Stop> {
    let plain: Vec<String> = UNOPTIMISED
        .iter()
        .filter(|name| packages.contains(name))
        .map(|name| format!("profile.dev.package.{name}.opt-level=0"))
        .collect();
    // A process for each test where nextest is there: what one test does to its process, and how
    // slow the sanitizer makes it, is not the others'.
    let nextest = test::has_nextest();
    let runner: &[&str] = if nextest { &["nextest", "run", "--no-tests=pass"] } else { &["test"] };
    let cmd = Cmd::cargo_of("nightly")
        .args(runner)
        .args(["--locked", "--no-fail-fast", "-Zbuild-std", "--target", TARGET])
        .args(programs)
        .args(plain.iter().flat_map(|profile| ["--config", profile.as_str()]))
        .packages(packages.iter().copied())
        .env("CARGO_TARGET_DIR", cx.target("tsan"))
        .env("RUSTFLAGS", "-Zsanitizer=thread")
        // By default each process with threads waits for a second before it ends.
        .env("TSAN_OPTIONS", "halt_on_error=1 atexit_sleep_ms=0")
        // Without any optimisation the instrumented code and library take several times as long.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        // What tests of latency allow.
        .env("TIDEGATE_SLOWNESS", "10")
        // Each case is on one thread: these are for the code, not for races.
        .env("PROPTEST_CASES", "16")
        .env("TIDEGATE_STRESS_MS", cx.options.profile.pick("200", "2000"));
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = test::read(nextest, &finished.output);
    cx.report.tests += tests.passed + tests.failed;
    cx.crates(tests.crates());
    if finished.output.contains("WARNING: ThreadSanitizer:") {
        return Err(Stop::fail("ThreadSanitizer reports a race"));
    }
    super::each_passed(&tests, finished.success, packages)
}
