//! Runs lanes one after the other, and tells how they ended.

use std::{io, process::ExitCode, time::Duration};

use crate::{
    clock,
    cx::{self, Cx, Options},
    failures,
    lane::Lane,
    outcome::Stop,
    plan,
    process::{Cmd, Runner},
    report::{self, Report},
    repro, term,
    workspace::{self, Workspace},
};

/// How many lines of a failing lane's log are shown.
const TAIL_LINES: usize = 60;

/// Runs `lanes`, all of them within `budget` if there is one.
///
/// # Errors
/// When the workspace cannot be read or a report cannot be written.
pub fn lanes(lanes: &[Lane], options: Options, budget: Option<Duration>) -> io::Result<ExitCode> {
    let workspace = Workspace::load()?;
    let runner = Runner::of_this_program(workspace.root.clone());
    let rustc = workspace::version_line(&Cmd::new("rustc").arg("--version"))
        .ok_or_else(|| io::Error::other("rustc does not run"))?;
    let started = clock::now();
    let mut reports = Vec::new();
    for (index, lane) in lanes.iter().enumerate() {
        let (at, count, name) = (index + 1, lanes.len(), lane.name());
        term::out(format_args!("[{at}/{count}] {name}: {}", lane.about()));
        let left = budget.map(|all| all.saturating_sub(clock::now().duration_since(started)));
        let limit = plan::time_for(lane, options.profile, left)
            .ok_or_else(|| Stop::inconclusive("not run: it would not end within the budget"));
        let report = Cx::drive(*lane, &workspace, &runner, &rustc, options, limit)?;
        term::out(format_args!(
            "[{at}/{count}] {name}: {} in {:.0} s",
            report.result, report.seconds
        ));
        reports.push(report);
    }
    Ok(tell(&workspace, &reports, options.strict))
}

/// Prints the table, what there is to know of each failure, and the closing line.
fn tell(workspace: &Workspace, reports: &[Report], strict: bool) -> ExitCode {
    term::out(format_args!("\n{}", report::table(reports)));
    for report in reports.iter().filter(|report| report.result.is_failure(strict)) {
        let log = workspace.reports().join(format!("{}.log", report.lane));
        let text = cx::read_log(&log);
        let all = failures::all(&text);
        let failed = failures::shown(&all);
        if !failed.is_empty() {
            term::out(format_args!("--- {}: what failed\n{failed}", report.lane));
        }
        for token in repro::tokens(report, &all, workspace) {
            term::out(format_args!("repro: cargo xtask repro {token}"));
        }
        let tail = cx::tail(&text, TAIL_LINES);
        term::out(format_args!("--- {}: end of {}\n{tail}\n", report.lane, log.display()));
    }
    let (line, success) = report::closing(reports, strict);
    term::out(format_args!("{line}"));
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
