//! `test`: unit, integration and documentation tests of the default members.

use crate::{
    cx::Cx,
    outcome::Stop,
    parse::{self, Tests},
    process::Cmd,
    tools::REDIS_SERVER,
    workspace::version_line,
};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    if !super::members_with(cx.workspace, "RedisServer::start(")?.is_empty() {
        REDIS_SERVER.require(cx)?;
    }
    let nextest = has_nextest();
    let options = ["--locked", "--all-features"];
    let fail_fast = cx.options.keep_going.then_some("--no-fail-fast");
    let first = if nextest {
        // That no test ran is told below, in the same words whatever ran none.
        Cmd::cargo().args(["nextest", "run", "--no-tests=pass"]).args(options).args(fail_fast)
    } else {
        Cmd::cargo().args(["test", "--lib", "--bins", "--tests"]).args(options).args(fail_fast)
    };
    let finished = cx.run(&first)?;
    let tests = read(nextest, &finished.output);
    add(cx, &tests);
    super::all_passed(&tests, finished.success)?;

    let doc = cx.run(&Cmd::cargo().args(["test", "--doc"]).args(options).args(fail_fast))?;
    let doctests = parse::cargo_test(&doc.output);
    add(cx, &doctests);
    cx.report.explored = doctests.passed;
    "doctests".clone_into(&mut cx.report.unit);
    super::all_passed(&doctests, doc.success)
        .map_err(|stop| Stop { reason: format!("doctests: {}", stop.reason), ..stop })
}

/// Whether `cargo nextest` is there, which runs each test in a process of its own.
pub(super) fn has_nextest() -> bool {
    version_line(&Cmd::cargo().args(["nextest", "--version"])).is_some()
}

/// What the runner said.
pub(super) fn read(nextest: bool, output: &str) -> Tests {
    if nextest { parse::nextest(output) } else { parse::cargo_test(output) }
}

fn add(cx: &mut Cx<'_>, tests: &Tests) {
    cx.report.tests += tests.passed + tests.failed;
    // `cargo test` names an integration test after its file; those are not crates.
    let members: Vec<&str> = cx.workspace.members.iter().map(|p| p.name.as_str()).collect();
    cx.crates(tests.crates().filter(|name| members.contains(name)));
}
