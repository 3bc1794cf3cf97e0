//! `selftest`: can each lane fail?
//!
//! A lane is run, by the same code as ever, on a small workspace that is right, and must pass; on
//! the same with a bug of the kind it is there to find, and must fail for that very reason; and on
//! one where it finds nothing to do, where there is such a thing, and must fail, too. The tokens it
//! prints must lead to the same failure again.

mod base;
mod faults;
mod fixture;

use std::fmt::Write as _;

pub use self::faults::{EXEMPT, FAULTS};
use crate::{
    clock,
    cx::{self, Cx, Options},
    failures,
    lane::Lane,
    outcome::{Outcome, Stop},
    process::{Cmd, Runner},
    profile::Profile,
    report::Report,
    repro::{self, Token},
    term, workspace,
};

/// Files by their path below the root; one without a text is taken away.
pub type Files = &'static [(&'static str, &'static str)];

/// What a lane is tested with.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The lane.
    pub lane: &'static str,
    /// The end of the manifest of the crate `tidegate-tide`.
    pub manifest: &'static str,
    /// The files of all variants, above those of the base.
    pub files: Files,
    /// The files of the variant without a bug, above `files`, as those of the bugs are.
    pub clean: Files,
    /// What must be found.
    pub planted: &'static [Bug],
    /// Ways to find nothing to do.
    pub empty: &'static [Bug],
}

/// What must turn a lane red, and how.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// In words of file names: `a-failing-doctest`.
    pub name: &'static str,
    /// Its files.
    pub files: Files,
    /// A part of the reason the lane must give.
    pub reason: &'static str,
    /// A part of the log that nothing but this bug explains.
    pub log: &'static str,
}

/// What the lane said to one variant.
struct Said {
    report: Report,
    log: String,
    /// What each of its tokens led to.
    again: Vec<(Token, Result<(), Stop>)>,
}

/// How the variants of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    expected: usize,
    unavailable: usize,
    all: usize,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    lane: &'static str,
    /// Clean, planted, empty.
    counts: [Count; 3],
    seconds: f64,
}

/// Which lanes are tested, with commas between them; all where it is not set.
const CHOICE: &str = "TIDEGATE_SELFTEST";

/// Tests the lanes.
///
/// # Errors
/// `fail` when a lane surprised, or none was tested; `unavailable` when a lane could not be run
/// at all.
pub(crate) fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let choice = std::env::var(CHOICE).ok();
    let chosen = |fault: &&Fault| {
        choice.as_ref().is_none_or(|lanes| lanes.split(',').any(|lane| lane == fault.lane))
    };
    "variants".clone_into(&mut cx.report.unit);
    let rustc = workspace::version_line(&Cmd::new("rustc").arg("--version")).unwrap_or_default();
    let mut rows = Vec::new();
    let mut surprises = Vec::new();
    for fault in FAULTS.iter().filter(chosen) {
        let row = test(cx, fault, &rustc, &mut surprises);
        cx.report.tests += 1;
        cx.report.explored += row.counts.iter().map(|count| count.all as u64).sum::<u64>();
        rows.push(row);
    }
    let table = table(&rows);
    cx.note(format_args!("{table}"));
    term::out(format_args!("\n{table}"));
    for surprise in &surprises {
        cx.note(format_args!("{surprise}"));
    }
    verdict(&rows, &surprises)
}

fn verdict(rows: &[Row], surprises: &[String]) -> Result<(), Stop> {
    if let Some(first) = surprises.first() {
        return Err(Stop::fail(format!("{} surprises, the first: {first}", surprises.len())));
    }
    if rows.is_empty() {
        return Err(Stop::fail("no lane was tested"));
    }
    let missing: Vec<&str> = rows
        .iter()
        .filter(|row| row.counts.iter().any(|count| count.unavailable > 0))
        .map(|row| row.lane)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!("some of {} could not be run", missing.join(", "));
    Err(Stop::unavailable(reason, "see `cargo xtask doctor`"))
}

/// Runs all variants of a lane.
fn test(cx: &mut Cx<'_>, fault: &Fault, rustc: &str, surprises: &mut Vec<String>) -> Row {
    let started = clock::now();
    let mut row = Row { lane: fault.lane, counts: [Count::default(); 3], seconds: 0.0 };
    let clean = std::iter::once((0, None, fault.clean));
    let planted = fault.planted.iter().map(|bug| (1, Some(bug), bug.files));
    let empty = fault.empty.iter().map(|bug| (2, Some(bug), bug.files));
    for (column, bug, files) in clean.chain(planted).chain(empty) {
        let name = bug.map_or("clean", |bug| bug.name);
        let said = variant(cx, fault, name, files, rustc).unwrap_or_else(|stop| Said {
            log: String::new(),
            again: Vec::new(),
            report: Report { reason: stop.reason, ..Report::new("not run", rustc) },
        });
        let Report { result, reason, seconds, .. } = &said.report;
        let line = format!("{} on {name}: {result} in {seconds:.0} s {reason}", fault.lane);
        term::out(format_args!("  {}", line.trim_end()));
        cx.note(format_args!("{line}"));
        let count = &mut row.counts[column];
        count.all += 1;
        match judge(&said, bug) {
            _ if *result == Outcome::Unavailable => count.unavailable += 1,
            Ok(()) => count.expected += 1,
            Err(why) => {
                cx.note(format_args!("{why}; the log:\n{}", said.log));
                surprises.push(format!("{} on {name}: {why}", fault.lane));
            }
        }
    }
    row.seconds = clock::now().duration_since(started).as_secs_f64();
    row
}

/// Runs the lane on one variant.
fn variant(
    cx: &Cx<'_>,
    fault: &Fault,
    name: &str,
    files: Files,
    rustc: &str,
) -> Result<Said, Stop> {
    let lane = Lane::named(fault.lane)
        .ok_or_else(|| Stop::fail(format!("there is no lane {}", fault.lane)))?;
    let dir = cx.target("selftest").join(fault.lane);
    let root = dir.join(name);
    let files = fixture::files(cx.workspace, &format!("{}.{name}", fault.lane), fault, files)?;
    fixture::write(&root, &files)?;
    let workspace = fixture::load(cx.workspace, &root, dir.join("target"))?;
    let runner = Runner::of_this_program(root).target(workspace.target.clone());
    // A bug that is found at a glance needs no long look.
    let options = Options { profile: Profile::Pr, ..cx.options };
    let limit = Ok(lane.limit(options.profile));
    let report = Cx::drive(lane, &workspace, &runner, rustc, options, limit)?;
    let log = cx::read_log(&workspace.reports().join(format!("{}.log", fault.lane)));
    let tokens = repro::tokens(&report, &failures::all(&log), &workspace);
    let again = tokens.into_iter().map(|token| {
        let ended = repro::again(&token, &workspace, &runner);
        (token, ended)
    });
    Ok(Said { again: again.collect(), report, log })
}

/// Whether a lane said what it should have; `bug` is what was planted.
fn judge(said: &Said, bug: Option<&Bug>) -> Result<(), String> {
    let Report { result, reason, .. } = &said.report;
    let Some(bug) = bug else {
        return match result {
            Outcome::Pass => Ok(()),
            other => Err(format!("nothing is wrong, but it said {other} ({reason})")),
        };
    };
    if *result != Outcome::Fail {
        return Err(format!("it said {result} ({reason}) instead of fail"));
    }
    if !reason.contains(bug.reason) {
        return Err(format!("it failed for another reason than `{}`: {reason}", bug.reason));
    }
    // The reason is at the end of the log as well, where it must not speak for the tool.
    let by_tool = said.log.rsplit_once("\nfail: ").map_or(said.log.as_str(), |(log, _)| log);
    if !by_tool.contains(bug.log) {
        return Err(format!("its log does not say `{}`", bug.log));
    }
    for (token, ended) in &said.again {
        match ended {
            Err(stop) if stop.reason.starts_with(repro::AGAIN) => {}
            Err(stop) => return Err(format!("{token} leads to {}", stop.reason)),
            Ok(()) => return Err(format!("{token} does not fail again")),
        }
    }
    Ok(())
}

/// The table, in Markdown.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| lane     | clean       | planted     | empty       | time |\n\
         | -------- | ----------- | ----------- | ----------- | ---- |\n",
    );
    for row in rows {
        let [clean, planted, empty] = row.counts;
        let cells = [clean.cell("pass"), planted.cell("fail"), empty.cell("fail")];
        let _ = write!(text, "| {:<8} ", row.lane);
        for cell in cells {
            let _ = write!(text, "| {cell:<11} ");
        }
        let _ = writeln!(text, "| {:>3.0}s |", row.seconds);
    }
    text
}

impl Count {
    fn cell(self, expected: &str) -> String {
        let Self { expected: right, unavailable, all } = self;
        match all {
            0 => "-".to_owned(),
            1 if right == 1 => expected.to_owned(),
            _ if right == all => format!("{expected} ×{all}"),
            _ if right + unavailable == all => "unavailable".to_owned(),
            _ => format!("**{} wrong**", all - right - unavailable),
        }
    }
}

#[cfg(test)]
mod tests;
