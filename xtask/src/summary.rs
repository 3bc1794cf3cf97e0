//! `report`: the reports of lanes that ran elsewhere, as one.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    junit,
    lane::Lane,
    profile::Profile,
    report::{self, Report},
    term,
};

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The files that lanes left.
    pub files: Vec<PathBuf>,
    /// Every lane of this profile must be among them.
    pub profile: Option<Profile>,
    /// A missing tool is a failure.
    pub strict: bool,
    /// Where the Markdown goes.
    pub markdown: Option<PathBuf>,
    /// Where the XML goes.
    pub junit: Option<PathBuf>,
    /// Where a job of GitHub Actions puts what its page shows.
    pub step_summary: Option<PathBuf>,
}

/// Writes the report, and fails if a lane did.
///
/// # Errors
/// When a file cannot be read or written.
pub fn run(request: &Request) -> io::Result<ExitCode> {
    let reports = gather(&request.files, request.profile)?;
    let (text, success) = markdown(&reports, request.strict);
    term::out(format_args!("{text}"));
    if let Some(path) = &request.markdown {
        fs::write(path, &text)?;
    }
    if let Some(path) = &request.junit {
        fs::write(path, junit::document(&reports))?;
    }
    if let Some(path) = &request.step_summary {
        // Other steps of the job have written theirs.
        OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())?;
    }
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The reports in the order of the lanes; a lane that left none has failed.
fn gather(files: &[PathBuf], profile: Option<Profile>) -> io::Result<Vec<Report>> {
    let mut reports = files.iter().map(|path| read(path)).collect::<io::Result<Vec<_>>>()?;
    for lane in Lane::all().iter().filter(|lane| profile.is_some_and(|p| lane.is_in(p))) {
        if !reports.iter().any(|report| report.lane == lane.name()) {
            let reason = "it left no report".into();
            reports.push(Report { reason, ..Report::new(lane.name(), "") });
        }
    }
    let place = |name: &str| Lane::all().iter().position(|lane| lane.name() == name);
    reports.sort_by_key(|report| place(&report.lane).unwrap_or(usize::MAX));
    Ok(reports)
}

fn read(path: &Path) -> io::Result<Report> {
    let text =
        fs::read(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&text).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    })
}

/// The table, the failed tests of each lane, the closing line; and whether all is well.
fn markdown(reports: &[Report], strict: bool) -> (String, bool) {
    let mut text = report::table(reports);
    for report in reports.iter().filter(|report| !report.failed.is_empty()) {
        let _ = writeln!(text, "\n`{}` failed in:\n", report.lane);
        for name in &report.failed {
            // Names of tests hold no backtick; errors of the compiler do.
            let _ = writeln!(text, "- `{}`", name.replace('`', "'"));
        }
    }
    let (line, success) = report::closing(reports, strict);
    let _ = writeln!(text, "\n{line}");
    (text, success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn left(dir: &Path, lane: &str, result: Outcome) -> PathBuf {
        let path = dir.join(format!("{lane}.json"));
        Report { result, ..Report::new(lane, "") }.write(&path).unwrap();
        path
    }

    #[test]
    fn a_report_is_one_table_with_what_failed() {
        let mut test = Report { reason: "1 tests failed | a".into(), ..Report::new("test", "") };
        test.failed = vec!["core a".into(), "error: no `x`".into()];
        let fmt = Report { result: Outcome::Pass, ..Report::new("fmt", "") };
        let expected = "\
| lane | crates | tests | explored | time | result |
| ---- | ------ | ----- | -------- | ---- | ------ |
| fmt  | -      | -     | -        | 0s   | pass   |
| test | -      | -     | -        | 0s   | fail (1 tests failed \\| a) |

`test` failed in:

- `core a`
- `error: no 'x'`

1 passed, 1 failed
";
        assert_eq!(markdown(&[fmt, test], false), (expected.to_owned(), false));
    }

    #[test]
    fn a_lane_of_the_profile_that_left_no_report_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let mut files: Vec<PathBuf> = Lane::all()
            .iter()
            .rev()
            .filter(|lane| lane.is_in(Profile::Pr))
            .map(|lane| left(dir.path(), lane.name(), Outcome::Pass))
            .collect();
        let whole = gather(&files, Some(Profile::Pr)).unwrap();
        assert_eq!(whole[0].lane, "fmt", "in the order of the lanes");
        assert!(markdown(&whole, true).1);
        files.remove(0);
        let part = gather(&files, Some(Profile::Pr)).unwrap();
        assert_eq!(part.len(), whole.len());
        assert!(!markdown(&part, true).1);
        assert!(markdown(&gather(&files, None).unwrap(), true).1);
    }

    #[test]
    fn everything_that_was_asked_for_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("step.md"), "before\n").unwrap();
        let request = Request {
            files: vec![left(dir.path(), "fmt", Outcome::Pass)],
            markdown: Some(at("a.md")),
            junit: Some(at("a.xml")),
            step_summary: Some(at("step.md")),
            ..Request::default()
        };
        run(&request).unwrap();
        let text = fs::read_to_string(at("a.md")).unwrap();
        assert!(text.ends_with("\n1 passed, 0 failed\n"), "{text}");
        assert_eq!(fs::read_to_string(at("step.md")).unwrap(), format!("before\n{text}"));
        assert!(fs::read_to_string(at("a.xml")).unwrap().contains("name=\"fmt\""));
    }

    #[test]
    fn a_file_that_is_no_report_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        assert!(
            gather(std::slice::from_ref(&path), None).unwrap_err().to_string().contains("x.json")
        );
        fs::write(&path, "{}").unwrap();
        assert!(gather(&[path], None).unwrap_err().to_string().contains("x.json"));
    }
}
