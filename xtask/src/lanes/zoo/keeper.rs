//! Runs the tests, each in a process of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::table::{Pair, Row, Seen, Specimen, Table};
use crate::{
    process::{Cmd, End, Runner},
    workspace::Workspace,
};

/// Who has not ended by then probably hangs, and is run again beside all others of its kind.
const FIRST_LIMIT: Duration = Duration::from_secs(4);

/// How many run at once.
const AT_ONCE: usize = 2;

/// How many that hang, most of which do nothing, run at once.
const HANGING_AT_ONCE: usize = 48;

/// How the program ends when its test has failed, and when a tool that cannot go on has ended it.
const REPORTED: i32 = 1;
const ABORTED: i32 = 134;

/// What the program says when its test has passed: a process that ends early did not get there.
const PASSED: &str = "zoo: silent";

/// One run of one test.
#[derive(Clone, Debug)]
struct Job {
    specimen: String,
    tool: String,
    variant: &'static str,
}

/// The tools under which the program is another: the `--cfg` and the build directory have their
/// names.
pub const MODELS: [&str; 2] = ["loom", "shuttle"];

/// Runs the tests.
#[derive(Debug)]
pub struct Keeper {
    target: PathBuf,
    logs: PathBuf,
    runner: Runner,
    limit: Duration,
}

impl Keeper {
    /// For the programs as they were built last.
    ///
    /// # Errors
    /// When there is no directory for its logs.
    pub fn new(workspace: &Workspace, limit: Duration) -> io::Result<Self> {
        let logs = workspace.reports().join("zoo");
        fs::create_dir_all(&logs)?;
        let runner = Runner::of_this_program(workspace.root.clone());
        Ok(Self { target: workspace.target.clone(), logs, runner, limit })
    }

    /// Asks the program what there is.
    ///
    /// # Errors
    /// When it does not run or says something else.
    pub fn specimens(&self) -> io::Result<Vec<Specimen>> {
        self.list("ours")
    }

    /// Adds the models to the tools of `specimens`.
    ///
    /// # Errors
    /// As [`specimens`](Self::specimens).
    pub fn with_models(&self, mut specimens: Vec<Specimen>) -> io::Result<Vec<Specimen>> {
        for model in MODELS {
            let modelled = self.list(model)?;
            for specimen in &mut specimens {
                if modelled.iter().any(|other| other.name == specimen.name) {
                    specimen.tools.push(model.to_owned());
                }
            }
        }
        Ok(specimens)
    }

    fn list(&self, tool: &str) -> io::Result<Vec<Specimen>> {
        let output = Cmd::new(self.program(tool)).arg("list").command().output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn program(&self, tool: &str) -> PathBuf {
        let models = if MODELS.contains(&tool) { tool } else { "" };
        self.target.join(models).join("debug").join("tidegate-zoo")
    }

    /// Runs the tests of `specimens` with those tools that are `wanted`.
    ///
    /// # Errors
    /// When a test cannot be run.
    pub fn run(
        &self,
        specimens: Vec<Specimen>,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<Table> {
        let mut jobs = Vec::new();
        for specimen in &specimens {
            for tool in specimen.tools.iter().filter(|tool| wanted(tool)) {
                for variant in ["planted", "control"] {
                    let (specimen, tool) = (specimen.name.clone(), tool.clone());
                    jobs.push(Job { specimen, tool, variant });
                }
            }
        }
        let first = self.at_once(&jobs, AT_ONCE, FIRST_LIMIT.min(self.limit))?;
        let (hang, ended): (Vec<_>, Vec<_>) =
            jobs.into_iter().zip(first).partition(|(_, seen)| *seen == Seen::Hangs);
        let hang: Vec<Job> = hang.into_iter().map(|(job, _)| job).collect();
        let again = self.at_once(&hang, HANGING_AT_ONCE, self.limit)?;
        let seen: BTreeMap<_, _> = hang
            .into_iter()
            .zip(again)
            .chain(ended)
            .map(|(job, seen)| ((job.specimen, job.tool, job.variant), seen))
            .collect();
        let row = |specimen: Specimen| {
            let of = |tool: &String, variant| {
                seen.get(&(specimen.name.clone(), tool.clone(), variant)).copied()
            };
            let pair = |tool: &String| {
                let (planted, control) = (of(tool, "planted")?, of(tool, "control")?);
                Some((tool.clone(), Pair { planted, control }))
            };
            let seen = specimen.tools.iter().filter_map(pair).collect();
            Row { specimen, seen }
        };
        Ok(Table { rows: specimens.into_iter().map(row).collect(), limit: self.limit.as_secs() })
    }

    /// Runs all of `jobs`, `width` at a time.
    fn at_once(&self, jobs: &[Job], width: usize, limit: Duration) -> io::Result<Vec<Seen>> {
        let next = AtomicUsize::new(0);
        let seen = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..width.min(jobs.len()) {
                scope.spawn(|| {
                    while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(job) = jobs.get(index) else { break };
                        let result = self.one(job, limit);
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                    }
                });
            }
        });
        let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        seen.sort_by_key(|(index, _)| *index);
        seen.into_iter().map(|(_, result)| result).collect()
    }

    fn one(&self, job: &Job, limit: Duration) -> io::Result<Seen> {
        let Job { specimen, tool, variant } = job;
        let path = self.logs.join(format!("{specimen}-{tool}-{variant}.log"));
        File::create(&path)?;
        let log = OpenOptions::new().append(true).open(&path)?;
        let cmd = Cmd::new(self.program(tool))
            .args(["run", "--specimen", specimen, "--tool", tool, "--variant", variant])
            // A test that fails says why, and where; not more.
            .env_remove("RUST_BACKTRACE")
            .env_remove("TIDEGATE_SEED")
            .env_remove("TIDEGATE_STRESS_MS");
        let end = self.runner.run(&cmd, &log, limit)?;
        judge(end, &path)
    }
}

fn judge(end: End, log: &Path) -> io::Result<Seen> {
    let broken = |what: &str| Err(io::Error::other(format!("{what}: see {}", log.display())));
    match end {
        End::Killed => Ok(Seen::Hangs),
        End::Failure(REPORTED | ABORTED) => Ok(Seen::Reported),
        // Among others: there is no such test, or no memory.
        End::Failure(_) => broken("the test did not run"),
        End::Success => {
            let said = fs::read(log)?;
            let passed = String::from_utf8_lossy(&said).lines().any(|line| line == PASSED);
            if passed { Ok(Seen::Silent) } else { broken("the test ended before its end") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_early_has_not_passed() {
        let log = tempfile::NamedTempFile::new().unwrap();
        assert!(judge(End::Success, log.path()).is_err());
        fs::write(log.path(), "words\nzoo: silent\n").unwrap();
        assert_eq!(judge(End::Success, log.path()).unwrap(), Seen::Silent);
    }

    #[test]
    fn what_was_not_run_is_told_from_what_failed() {
        let log = Path::new("none");
        assert_eq!(judge(End::Failure(REPORTED), log).unwrap(), Seen::Reported);
        assert_eq!(judge(End::Failure(ABORTED), log).unwrap(), Seen::Reported);
        for none in [64, 127, 137] {
            assert!(judge(End::Failure(none), log).is_err());
        }
        assert_eq!(judge(End::Killed, log).unwrap(), Seen::Hangs);
    }
}
