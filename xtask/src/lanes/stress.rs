//! `stress`: seeded, time-boxed, oversubscribed tests in a release build, disturbed at each lock
//! and atomic.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use crate::{
    clock,
    cx::Cx,
    outcome::Stop,
    parse::{self, Stressed},
    process::Cmd,
    sources,
    workspace::Workspace,
};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "rounds".clone_into(&mut cx.report.unit);
    let seed =
        std::env::var("TIDEGATE_SEED").unwrap_or_else(|_| format!("{:#x}", clock::fresh_seed()));
    cx.note(format_args!("TIDEGATE_SEED={seed}"));
    cx.report.seed = Some(seed.clone());
    let programs = programs(cx.workspace)?;
    let packages: Vec<&str> = programs.keys().copied().collect();
    if packages.is_empty() {
        return Err(Stop::fail("no crate has a stress test"));
    }
    let names: BTreeSet<&String> = programs.values().flatten().collect();
    let cmd = Cmd::cargo()
        // With the features of default: what others add is not raced for, and takes minutes to build.
        // The unit tests are there to say whose the programs after them are.
        .args(["test", "--locked", "--release", "--lib"])
        .args(names.into_iter().map(|name| format!("--test={name}")))
        .args(cx.options.keep_going.then_some("--no-fail-fast"))
        .packages(packages.iter().copied())
        // One test at a time, so that each has the cores to itself.
        .args(["--", "--nocapture", "--test-threads=1", "stress_"])
        .env("CARGO_TARGET_DIR", cx.target("stress"))
        .env("RUSTFLAGS", "--cfg tidegate_stress")
        // How long each test goes on, in milliseconds.
        .env("TIDEGATE_STRESS_MS", cx.options.profile.pick("2000", "30000"))
        .env("TIDEGATE_SEED", &seed);
    let cmd = super::quick_release(cmd);
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    let work = parse::stress_rounds(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = work.iter().map(|work| work.rounds).sum();
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &packages)?;
    judge(tests.passed, &work)
}

/// The test programs that have stress tests, by package: other tests take minutes to optimise.
pub(super) fn programs(workspace: &Workspace) -> io::Result<BTreeMap<&str, Vec<String>>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for package in super::members_with(workspace, "fn stress_")? {
        let tests = package.targets.iter().filter(|target| target.kind.iter().any(|k| k == "test"));
        for target in tests {
            let modules = target.src_path.with_extension("");
            let is_found = fs::read_to_string(&target.src_path)?.contains("fn stress_")
                || sources::mentions(&[modules], "fn stress_")?;
            if is_found {
                found.entry(package.name.as_str()).or_default().push(target.name.clone());
            }
        }
    }
    Ok(found)
}

fn judge(passed: u64, work: &[Stressed]) -> Result<(), Stop> {
    if let Some(idle) = work.iter().find(|work| work.rounds == 0) {
        return Err(Stop::fail(format!("{} ran no round", idle.name)));
    }
    // By name: a test that reports twice does not speak for another.
    let reported = work.iter().map(|work| &work.name).collect::<BTreeSet<_>>().len() as u64;
    if reported < passed {
        return Err(Stop::fail(format!("{passed} tests passed, {reported} told their rounds")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(passed: u64, output: &str) -> bool {
        judge(passed, &parse::stress_rounds(output)).is_ok()
    }

    #[test]
    fn every_test_must_have_done_rounds_and_said_so() {
        assert!(holds(1, "stress: a seed=0x1 rounds=9\n"));
        assert!(!holds(1, "stress: a seed=0x1 rounds=0\n"));
        assert!(!holds(2, "stress: a seed=0x1 rounds=9\n"));
        let twice = "stress: a seed=0x1 rounds=9\nstress: a seed=0x1 rounds=8\n";
        assert!(holds(1, twice));
        assert!(!holds(2, twice), "one test does not speak for another");
    }
}
