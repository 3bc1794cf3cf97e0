//! `icount`: hot paths take no more instructions than they were recorded with.
//!
//! Wall times of a busy machine say little; how many instructions one thread executes is nearly
//! the same each time. Valgrind counts them, for programs `benches/icount.rs` that do one thing
//! so often as they are told. What looks at a clock, as a pipeline does for its statistics, is no
//! such thing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{cx::Cx, outcome::Stop, process::Cmd, workspace::version_line};

/// Where the counts are recorded, below the root.
const RECORD: &str = "docs/data/icount.json";

/// Set to record anew.
const VARIABLE: &str = "TIDEGATE_RECORD";

/// How often a case is done; what the start of the program takes is subtracted.
const TIMES: u64 = 2_000;

/// How many more instructions, in percent, are let pass.
const TOLERANCE: u64 = 3;

/// The same where another compiler recorded them, which makes other code of the same text.
const TOLERANCE_OTHER: u64 = 15;

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    "instructions".clone_into(&mut cx.report.unit);
    let Some(version) = version_line(&Cmd::new("valgrind").arg("--version")) else {
        return Err(Stop::unavailable("there is no valgrind", "apt-get install valgrind"));
    };
    cx.note(format_args!("using {version}"));
    let record = cx.workspace.root.join(RECORD);
    let mut measured = Record { rustc: cx.report.rustc.clone(), counts: BTreeMap::new() };
    for package in names(cx) {
        let program = build(cx, &package)?;
        let listed = cx.check(&Cmd::new(&program))?;
        for case in listed.lines().map(str::trim).filter(|case| !case.is_empty()) {
            let (none, all) = (count(cx, &program, case, 0)?, count(cx, &program, case, TIMES)?);
            let each = all.saturating_sub(none) / TIMES;
            cx.note(format_args!("{package} {case}: {each} instructions each"));
            measured.counts.insert(format!("{package} {case}"), each);
        }
        cx.crates([package.as_str()]);
    }
    cx.report.tests = measured.counts.len() as u64;
    cx.report.explored = measured.counts.values().sum();
    if std::env::var_os(VARIABLE).is_some() {
        let mut text = serde_json::to_string_pretty(&measured).map_err(std::io::Error::other)?;
        text.push('\n');
        fs::write(&record, text)?;
        cx.report.reason = format!("recorded in {RECORD}");
        return Ok(());
    }
    let text = fs::read_to_string(&record)?;
    let recorded: Record = serde_json::from_str(&text).map_err(std::io::Error::other)?;
    if recorded.rustc != measured.rustc {
        cx.report.reason = format!("{TOLERANCE_OTHER} % allowed: recorded by {}", recorded.rustc);
    }
    judge(&recorded, &measured)
}

/// The published crates with a program to count.
fn names(cx: &Cx<'_>) -> Vec<String> {
    let with = cx.workspace.published().filter(|p| p.dir().join("benches/icount.rs").exists());
    with.map(|package| package.name.clone()).collect()
}

fn build(cx: &mut Cx<'_>, package: &str) -> Result<PathBuf, Stop> {
    let cmd = Cmd::cargo()
        .args(["bench", "--locked", "--no-run", "--bench", "icount", "-p", package])
        .env("CARGO_TARGET_DIR", cx.target("icount"))
        // The code of one crate in one piece: how it is cut would change with its length.
        .env("CARGO_PROFILE_BENCH_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_BENCH_LTO", "off");
    cx.flags(&cmd);
    let output = cx.check(&cmd)?;
    let path = executable(&output).ok_or_else(|| Stop::fail("cargo told no program"))?;
    Ok(cx.workspace.root.join(path))
}

/// `Executable benches/icount.rs (target/release/deps/icount-0f3a)`
fn executable(output: &str) -> Option<&str> {
    let line = output.lines().rev().find(|line| line.trim_start().starts_with("Executable "))?;
    line.rsplit_once('(')?.1.trim_end().strip_suffix(')')
}

fn count(cx: &mut Cx<'_>, program: &PathBuf, case: &str, times: u64) -> Result<u64, Stop> {
    let cmd = Cmd::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([case.to_owned(), times.to_string()]);
    let output = cx.check(&cmd)?;
    collected(&output).ok_or_else(|| Stop::fail(format!("valgrind told no count of {case}")))
}

/// `==123== Collected : 4567`
fn collected(output: &str) -> Option<u64> {
    output.lines().rev().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

/// What was counted, by `<package> <case>`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    rustc: String,
    counts: BTreeMap<String, u64>,
}

/// Every case that was recorded must still be there, and the other way round.
fn judge(recorded: &Record, measured: &Record) -> Result<(), Stop> {
    let same = recorded.rustc == measured.rustc;
    let tolerance = if same { TOLERANCE } else { TOLERANCE_OTHER };
    let anew = format!("record with {VARIABLE}=1 if that is meant");
    if measured.counts.is_empty() {
        return Err(Stop::fail("nothing was counted"));
    }
    for name in recorded.counts.keys().chain(measured.counts.keys()) {
        let (Some(before), Some(now)) = (recorded.counts.get(name), measured.counts.get(name))
        else {
            return Err(Stop::fail(format!("`{name}` is not in both, {anew}")));
        };
        if now * 100 > before * (100 + tolerance) {
            let what = format!("`{name}` takes {now} instructions in place of {before}, {anew}");
            return Err(Stop::fail(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(rustc: &str, counts: &[(&str, u64)]) -> Record {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Record { rustc: rustc.into(), counts }
    }

    #[test]
    fn more_instructions_than_tolerated_are_a_failure() {
        let recorded = record("a", &[("x", 1000), ("y", 10)]);
        let holds = |rustc, x| judge(&recorded, &record(rustc, &[("x", x), ("y", 10)])).is_ok();
        assert!(holds("a", 1) && holds("a", 1030) && !holds("a", 1031));
        assert!(holds("b", 1150) && !holds("b", 1151));
    }

    #[test]
    fn cases_do_not_come_and_go_unseen() {
        let (one, two) = (record("a", &[("x", 1)]), record("a", &[("x", 1), ("y", 1)]));
        assert!(judge(&one, &two).is_err() && judge(&two, &one).is_err());
        assert!(judge(&record("a", &[]), &record("a", &[])).is_err());
    }

    #[test]
    fn what_cargo_and_valgrind_say_is_read() {
        let cargo = "    Finished `bench`\n  Executable benches/icount.rs (target/a/icount-0f)\n";
        assert_eq!(executable(cargo), Some("target/a/icount-0f"));
        assert_eq!(executable("    Finished\n"), None);
        let valgrind = "==7== Events    : Ir\n==7== Collected : 5132\n==7== \n";
        assert_eq!(collected(valgrind), Some(5132));
        assert_eq!(collected("==7== Events : Ir\n"), None);
    }
}
