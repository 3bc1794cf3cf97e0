//! What a lane works with.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    clock, failures,
    lane::Lane,
    outcome::{Outcome, Stop},
    process::{Cmd, End, Runner},
    profile::Profile,
    report::Report,
    repro::Focus,
    term,
    workspace::Workspace,
};

/// What a child may print and still be read whole; a test run prints a thousandth of it.
const OUTPUT_MAX: u64 = 64 << 20;

/// The user's choices.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How much is explored.
    pub profile: Profile,
    /// A missing tool is a failure.
    pub strict: bool,
    /// Install nothing.
    pub no_install: bool,
    /// Go on after a failed test.
    pub keep_going: bool,
}

/// A lane at work.
pub struct Cx<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The user's choices.
    pub options: Options,
    /// What becomes of the lane; it passes when the lane returns `Ok`.
    pub report: Report,
    runner: &'a Runner,
    log: File,
    log_path: PathBuf,
    started: Instant,
    limit: Duration,
    focus: Option<Focus>,
    narrowed: Option<Finished>,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("report", &self.report).finish_non_exhaustive()
    }
}

/// What a child left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// It exited with success.
    pub success: bool,
    /// Both of its outputs, as they came.
    pub output: String,
}

impl<'a> Cx<'a> {
    /// Runs `lane` for as long as `limit` says, or not at all for its reason, and leaves `<lane>.json` and `<lane>.log` in the reports' directory.
    ///
    /// # Errors
    /// When the report or the log cannot be written.
    pub fn drive(
        lane: Lane,
        workspace: &'a Workspace,
        runner: &'a Runner,
        rustc: &str,
        options: Options,
        limit: Result<Duration, Stop>,
    ) -> io::Result<Report> {
        let dir = workspace.reports();
        std::fs::create_dir_all(&dir)?;
        let json = dir.join(format!("{}.json", lane.name()));
        // A report of an earlier run must not be taken for this one's.
        if let Err(error) = std::fs::remove_file(&json) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
        let report = Report::new(lane.name(), rustc);
        let time = limit.as_ref().copied().unwrap_or_default();
        let mut cx = Self::open(workspace, runner, report, options, time)?;
        cx.report.profile = options.profile.to_string();
        let stop = limit.and_then(|_| lane.run(&mut cx)).err();
        let report = cx.close(stop);
        report.write(&json)?;
        Ok(report)
    }

    fn open(
        workspace: &'a Workspace,
        runner: &'a Runner,
        report: Report,
        options: Options,
        limit: Duration,
    ) -> io::Result<Self> {
        let log_path = workspace.reports().join(format!("{}.log", report.lane));
        File::create(&log_path)?;
        // Appending, so that the children's writes and ours never overwrite each other.
        let log = OpenOptions::new().append(true).read(true).open(&log_path)?;
        let started = clock::now();
        Ok(Self {
            workspace,
            options,
            report,
            runner,
            log,
            log_path,
            started,
            limit,
            focus: None,
            narrowed: None,
        })
    }

    /// A lane is to run one test alone; its log is `repro.log`.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn focused(
        workspace: &'a Workspace,
        runner: &'a Runner,
        options: Options,
        limit: Duration,
        focus: Focus,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(workspace.reports())?;
        let cx = Self::open(workspace, runner, Report::new("repro", ""), options, limit)?;
        Ok(Self { focus: Some(focus), ..cx })
    }

    /// What became of the one test that `run` came to.
    ///
    /// # Errors
    /// Why it did not come to it.
    pub fn narrowed(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<Finished, Stop> {
        let ended = run(self);
        match self.narrowed.take() {
            Some(finished) => Ok(finished),
            None => Err(ended.err().unwrap_or_else(|| Stop::fail("the lane runs no tests"))),
        }
    }

    fn close(mut self, stop: Option<Stop>) -> Report {
        self.report.seconds = clock::now().duration_since(self.started).as_secs_f64();
        match stop {
            None => self.report.result = Outcome::Pass,
            Some(stop) => {
                self.report.result = stop.outcome;
                self.report.reason = stop.reason;
                self.report.name_failures(&failures::all(&read_log(&self.log_path)));
                let (result, reason) = (self.report.result, self.report.reason.clone());
                self.note(format_args!("{result}: {reason}"));
            }
        }
        self.report
    }

    /// Writes a line to the log.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        if let Err(error) = writeln!(self.log, "{line}") {
            term::err(format_args!("{}: {error}", self.log_path.display()));
        }
    }

    /// Runs a child within what is left of the lane's time.
    ///
    /// # Errors
    /// `timeout` when the time is used up, `fail` when the child cannot be started.
    pub fn run(&mut self, cmd: &Cmd) -> Result<Finished, Stop> {
        let Some(narrowed) = self.focus.as_ref().and_then(|focus| focus.narrow(cmd)) else {
            return self.run_all(cmd);
        };
        self.narrowed = Some(self.run_all(&narrowed)?);
        // The lane would judge it by what all tests would have said.
        Err(Stop::inconclusive("one test alone"))
    }

    fn run_all(&mut self, cmd: &Cmd) -> Result<Finished, Stop> {
        let shown = cmd.line();
        // Colours and progress bars would have to be stripped again before parsing.
        let cmd = cmd
            .clone()
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .env("NO_COLOR", "1");
        self.note(format_args!("$ {shown}"));
        self.report.command.push(shown);
        let start = self.log.seek(SeekFrom::End(0))?;
        let left = self.limit.saturating_sub(clock::now().duration_since(self.started));
        let end = self.runner.run(&cmd, &self.log, left)?;
        let output = self.read_from(start)?;
        match end {
            End::Killed => Err(Stop::timeout(format!("limit of {} s", self.limit.as_secs()))),
            End::Success => Ok(Finished { success: true, output }),
            End::Failure(code) => {
                self.note(format_args!("exit status {code}"));
                Ok(Finished { success: false, output })
            }
        }
    }

    /// As [`Cx::run`]; a child that fails, fails the lane.
    ///
    /// # Errors
    /// Those of [`Cx::run`], and `fail` when the child fails.
    pub fn check(&mut self, cmd: &Cmd) -> Result<String, Stop> {
        let finished = self.run(cmd)?;
        if finished.success {
            return Ok(finished.output);
        }
        let line = self.report.command.last().cloned().unwrap_or_default();
        Err(Stop::fail(format!("`{line}` failed")))
    }

    fn read_from(&self, start: u64) -> io::Result<String> {
        let mut file = File::open(&self.log_path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The build directory of a lane that needs its own flags.
    #[must_use]
    pub fn target(&self, name: &str) -> PathBuf {
        self.workspace.builds.join(name)
    }

    /// Remembers the environment of `cmd` in the report.
    pub fn flags(&mut self, cmd: &Cmd) {
        for flag in cmd.flags() {
            if !self.report.flags.contains(&flag) {
                self.report.flags.push(flag);
            }
        }
    }

    /// Remembers the crates that were looked at.
    pub fn crates<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.report.crates.extend(names.into_iter().map(str::to_owned));
        self.report.crates.sort();
        self.report.crates.dedup();
    }
}

/// The whole of a log; empty where it cannot be read.
#[must_use]
pub fn read_log(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last `count` lines of a log.
#[must_use]
pub fn tail(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
