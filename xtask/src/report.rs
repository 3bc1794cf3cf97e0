//! What a lane leaves behind: a JSON file, a row of the table, its share of the closing line.

use std::{fmt::Write as _, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{failures::Failure, outcome::Outcome};

/// How many names of failed tests a record keeps.
const FAILED_MAX: usize = 100;

/// The record of one lane, written to `target/xtask/<lane>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The lane's name.
    pub lane: String,
    /// With the settings of which profile.
    #[serde(default)]
    pub profile: String,
    /// How it ended.
    pub result: Outcome,
    /// Why it did not pass, or what a pass is worth where that differs from run to run.
    pub reason: String,
    /// The crates that were looked at.
    pub crates: Vec<String>,
    /// Tests, models or checks that ran.
    pub tests: u64,
    /// What was explored beyond that, counted in `unit`.
    pub explored: u64,
    /// The unit of `explored`, in the plural.
    pub unit: String,
    /// Wall time in seconds.
    pub seconds: f64,
    /// `rustc --version` of the toolchain the lane used.
    pub rustc: String,
    /// Environment variables that shaped the run, as `KEY=value`.
    pub flags: Vec<String>,
    /// The seed of a randomised run.
    pub seed: Option<String>,
    /// The command lines that ran.
    pub command: Vec<String>,
    /// The tests that failed, or the first errors of the compiler.
    #[serde(default)]
    pub failed: Vec<String>,
}

impl Report {
    /// An empty record that fails: only a lane that did its work makes it pass.
    #[must_use]
    pub fn new(lane: &str, rustc: &str) -> Self {
        Self {
            lane: lane.to_owned(),
            profile: String::new(),
            result: Outcome::Fail,
            reason: String::new(),
            crates: Vec::new(),
            tests: 0,
            explored: 0,
            unit: String::new(),
            seconds: 0.0,
            rustc: rustc.to_owned(),
            flags: Vec::new(),
            seed: None,
            command: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Remembers what failed, and names the first of it in the reason.
    pub fn name_failures(&mut self, failures: &[Failure]) {
        self.failed = failures.iter().take(FAILED_MAX).map(|f| f.name.clone()).collect();
        if let Some(first) = self.failed.first() {
            let _ = write!(self.reason, ": {first}");
        }
    }

    /// Writes the record as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }

    fn row(&self) -> [String; 6] {
        let explored = match self.explored {
            0 => String::from("-"),
            n => format!("{} {}", grouped(n), self.unit),
        };
        let tests = if self.tests == 0 { "-".into() } else { grouped(self.tests) };
        let crates =
            if self.crates.is_empty() { "-".into() } else { self.crates.len().to_string() };
        let mut result = self.result.to_string();
        if !self.reason.is_empty() {
            // A line of a table ends with the line, and its cells with a bar.
            let _ = write!(result, " ({})", self.reason.replace('\n', " ").replace('|', "\\|"));
        }
        [self.lane.clone(), crates, tests, explored, format!("{:.0}s", self.seconds), result]
    }
}

/// The table of all lanes, in Markdown.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let head = ["lane", "crates", "tests", "explored", "time", "result"].map(String::from);
    let rows: Vec<[String; 6]> = reports.iter().map(Report::row).collect();
    let mut widths = head.clone().map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // The last column is as wide as its head: what stands in it are sentences.
    widths[5] = head[5].len();
    let mut text = String::new();
    let mut line = |cells: &[String; 6]| {
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
    };
    line(&head);
    let rule = widths.map(|width| "-".repeat(width));
    line(&rule);
    rows.iter().for_each(&mut line);
    text
}

/// The closing line, and whether the run as a whole succeeded.
#[must_use]
pub fn closing(reports: &[Report], strict: bool) -> (String, bool) {
    let passed = reports.iter().filter(|report| report.result == Outcome::Pass).count();
    let failed = reports.iter().filter(|report| report.result.is_failure(strict)).count();
    let skipped = reports.len() - passed - failed;
    let nothing_to_check =
        !reports.is_empty() && reports.iter().all(|report| report.result == Outcome::Skipped);
    let mut line = format!("{passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(line, ", {skipped} skipped");
    }
    // A run in which nothing passed has verified nothing, unless there was nothing to verify.
    (line, failed == 0 && (passed > 0 || nothing_to_check))
}

/// `1234567` as `1 234 567`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lane: &str, result: Outcome) -> Report {
        Report { result, ..Report::new(lane, "rustc 1.95.0") }
    }

    #[test]
    fn an_empty_record_fails() {
        assert_eq!(Report::new("fmt", "").result, Outcome::Fail);
    }

    #[test]
    fn failed_tests_are_named_up_to_a_bound() {
        let mut report =
            Report { reason: "200 tests failed".into(), ..report("test", Outcome::Fail) };
        let failure = |n| Failure { name: format!("a t{n}"), output: Vec::new() };
        report.name_failures(&(0..200).map(failure).collect::<Vec<_>>());
        assert_eq!(report.reason, "200 tests failed: a t0");
        assert_eq!(report.failed.len(), FAILED_MAX);
    }

    #[test]
    fn the_closing_line_counts_lanes() {
        let reports = [
            report("fmt", Outcome::Pass),
            report("test", Outcome::Fail),
            report("loom", Outcome::Timeout),
            report("stress", Outcome::Inconclusive),
        ];
        assert_eq!(closing(&reports, false), ("1 passed, 3 failed".into(), false));
    }

    #[test]
    fn a_missing_tool_is_a_failure_only_under_strict() {
        let reports = [report("fmt", Outcome::Pass), report("miri", Outcome::Unavailable)];
        assert_eq!(closing(&reports, false), ("1 passed, 0 failed, 1 skipped".into(), true));
        assert_eq!(closing(&reports, true), ("1 passed, 1 failed".into(), false));
    }

    #[test]
    fn what_does_not_exist_yet_is_no_failure_and_no_pass() {
        let reports = [report("fmt", Outcome::Pass), report("semver", Outcome::Skipped)];
        for strict in [false, true] {
            let line = "1 passed, 0 failed, 1 skipped";
            assert_eq!(closing(&reports, strict), (line.into(), true));
        }
        // A machine that has this lane alone.
        assert_eq!(closing(&reports[1..], true), ("0 passed, 0 failed, 1 skipped".into(), true));
        let none = [report("miri", Outcome::Unavailable), report("semver", Outcome::Skipped)];
        assert!(!closing(&none, false).1, "a tool is missing");
    }

    #[test]
    fn a_run_without_a_pass_is_no_success() {
        let reports = [report("miri", Outcome::Unavailable)];
        assert_eq!(closing(&reports, false), ("0 passed, 0 failed, 1 skipped".into(), false));
        assert_eq!(closing(&[], false), ("0 passed, 0 failed".into(), false));
    }

    #[test]
    fn the_table_shows_what_was_done() {
        let loom = Report {
            crates: vec!["tidegate-core".into()],
            tests: 31,
            explored: 1_204_331,
            unit: "executions".into(),
            seconds: 141.6,
            ..report("loom", Outcome::Pass)
        };
        let miri = Report { reason: "no nightly".into(), ..report("miri", Outcome::Unavailable) };
        let expected = "\
| lane | crates | tests | explored             | time | result |
| ---- | ------ | ----- | -------------------- | ---- | ------ |
| loom | 1      | 31    | 1 204 331 executions | 142s | pass   |
| miri | -      | -     | -                    | 0s   | unavailable (no nightly) |
";
        assert_eq!(table(&[loom, miri]), expected);
    }

    #[test]
    fn the_json_has_every_field_of_the_design() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fmt.json");
        let written = report("fmt", Outcome::Inconclusive);
        written.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in [
            "lane", "profile", "result", "reason", "crates", "tests", "explored", "seconds",
            "rustc", "flags", "seed", "command", "failed",
        ] {
            assert!(value.get(key).is_some(), "no `{key}` in {text}");
        }
        assert_eq!(value["result"], "inconclusive");
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), written);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 12, 999, 1000, 1_204_331].map(grouped),
            ["0", "12", "999", "1 000", "1 204 331"]
        );
    }
}
