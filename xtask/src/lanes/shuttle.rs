//! `shuttle`: whole programs under schedules drawn from a seed.

use std::collections::BTreeSet;

use crate::{
    clock,
    cx::Cx,
    outcome::Stop,
    parse::{self, Scheduled},
    process::Cmd,
};

/// Under fewer schedules a program has not been explored.
const SCHEDULES_MIN: u64 = 1000;

/// How many schedules of each kind each program gets, if the user does not say it.
const SCHEDULES: &str = "TIDEGATE_SCHEDULES";

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "schedules".clone_into(&mut cx.report.unit);
    let seed =
        std::env::var("TIDEGATE_SEED").unwrap_or_else(|_| format!("{:#x}", clock::fresh_seed()));
    cx.note(format_args!("TIDEGATE_SEED={seed}"));
    cx.report.seed = Some(seed.clone());
    let packages: Vec<&str> = super::members_with(cx.workspace, "fn shuttle_")?
        .into_iter()
        .map(|package| package.name.as_str())
        .collect();
    if packages.is_empty() {
        return Err(Stop::fail("no crate has a program for shuttle"));
    }
    let cmd = Cmd::cargo()
        .args(["test", "--locked", "--release", "--lib"])
        .args(cx.options.keep_going.then_some("--no-fail-fast"))
        .packages(packages.iter().copied())
        .args(["--", "--nocapture", "shuttle_"])
        .env("CARGO_TARGET_DIR", cx.target("shuttle"))
        .env("RUSTFLAGS", "--cfg tidegate_shuttle")
        .env("TIDEGATE_SEED", &seed)
        // These would replace the seed, or run one schedule in place of many.
        .env_remove("SHUTTLE_RANDOM_SEED")
        .env_remove("TIDEGATE_SCHEDULE");
    let schedules = std::env::var(SCHEDULES);
    let schedules = schedules.unwrap_or_else(|_| cx.options.profile.pick("5000", "100000").into());
    let cmd = super::quick_release(cmd.env(SCHEDULES, schedules));
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    let work = parse::shuttle_iterations(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = work.iter().map(|work| work.schedules).sum();
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &packages)?;
    judge(tests.passed, &work)
}

fn judge(passed: u64, work: &[Scheduled]) -> Result<(), Stop> {
    if let Some(idle) = work.iter().find(|work| work.schedules < SCHEDULES_MIN) {
        let Scheduled { name, schedules } = idle;
        return Err(Stop::fail(format!("{name} ran under {schedules} schedules only")));
    }
    // By name: a program that reports twice does not speak for another.
    let reported = work.iter().map(|work| &work.name).collect::<BTreeSet<_>>().len() as u64;
    if reported < passed {
        return Err(Stop::fail(format!("{passed} tests passed, {reported} told their schedules")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(passed: u64, output: &str) -> bool {
        judge(passed, &parse::shuttle_iterations(output)).is_ok()
    }

    #[test]
    fn every_program_must_have_run_under_many_schedules_and_said_so() {
        assert!(holds(1, "shuttle-iterations: a 3000\n"));
        assert!(!holds(1, "shuttle-iterations: a 999\n"));
        assert!(!holds(1, ""));
        assert!(!holds(2, "shuttle-iterations: a 3000\n"));
        let twice = "shuttle-iterations: a 3000\nshuttle-iterations: a 3000\n";
        assert!(holds(1, twice));
        assert!(!holds(2, twice), "one program does not speak for another");
    }
}
