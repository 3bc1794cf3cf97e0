//! `loom`: every interleaving of the models, up to two preemptions an execution, or three.

use crate::{cx::Cx, outcome::Stop, parse, process::Cmd};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "executions".clone_into(&mut cx.report.unit);
    let packages: Vec<&str> = super::members_with(cx.workspace, "fn loom_")?
        .into_iter()
        .map(|package| package.name.as_str())
        .collect();
    if packages.is_empty() {
        return Err(Stop::fail("no crate has a model"));
    }
    let cmd = Cmd::cargo()
        .args(["test", "--locked", "--release", "--lib"])
        .args(cx.options.keep_going.then_some("--no-fail-fast"))
        .packages(packages.iter().copied())
        .args(["--", "--nocapture", "loom_"])
        .env("CARGO_TARGET_DIR", cx.target("loom"))
        .env("RUSTFLAGS", "--cfg tidegate_loom")
        .env("LOOM_MAX_PREEMPTIONS", cx.options.profile.pick("2", "3"))
        .env("LOOM_MAX_BRANCHES", "10000")
        // Each model then says how many executions it took to be complete.
        .env("LOOM_LOG", "loom::model=info")
        // Both make a model return success when the bound is hit.
        .env_remove("LOOM_MAX_DURATION")
        .env_remove("LOOM_MAX_PERMUTATIONS")
        .env_remove("LOOM_CHECKPOINT_FILE");
    let cmd = super::quick_release(cmd);
    cx.flags(&cmd);
    let finished = cx.run(&cmd)?;
    let tests = parse::cargo_test(&finished.output);
    let completed = parse::loom_executions(&finished.output);
    cx.report.tests = tests.passed + tests.failed;
    cx.report.explored = completed.iter().sum();
    cx.crates(tests.crates());
    super::each_passed(&tests, finished.success, &packages)?;
    judge(tests.passed, &completed)
}

/// A model that ran once explored nothing: its threads never raced. One that passed without
/// saying that it is complete stopped at a bound.
fn judge(passed: u64, completed: &[u64]) -> Result<(), Stop> {
    let idle = completed.iter().filter(|executions| **executions <= 1).count();
    if idle > 0 {
        return Err(Stop::fail(format!("{idle} models ran one execution: nothing raced")));
    }
    let complete = completed.len() as u64;
    if complete < passed {
        return Err(Stop::inconclusive(format!("{complete} of {passed} models ran to the end")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn outcome(passed: u64, completed: &[u64]) -> Outcome {
        judge(passed, completed).map_or_else(|stop| stop.outcome, |()| Outcome::Pass)
    }

    #[test]
    fn models_that_explored_pass() {
        assert_eq!(outcome(1, &[12]), Outcome::Pass);
    }

    #[test]
    fn a_model_with_one_execution_fails() {
        assert_eq!(outcome(2, &[12, 1]), Outcome::Fail);
    }

    #[test]
    fn a_model_that_stopped_early_is_inconclusive() {
        assert_eq!(outcome(2, &[12]), Outcome::Inconclusive);
    }
}
