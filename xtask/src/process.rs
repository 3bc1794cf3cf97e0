//! Children that outlive neither their time limit nor this program.
//!
//! A child is started through a *leash*: this same program as `xtask leash -- PROGRAM ARGS`. The
//! leash puts the child in a process group of its own and kills the whole group when its standard
//! input closes. The input closes when the limit is hit, and also when this program ends for any
//! reason (Ctrl-C, `kill -9`), so no compiler or test is ever left behind.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, sync_channel},
    time::Duration,
};

use crate::term;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A command line with its environment.
#[derive(Clone, Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    /// `None` removes the variable.
    env: Vec<(String, Option<OsString>)>,
}

impl Cmd {
    /// `program` without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new() }
    }

    /// `cargo` of the toolchain that runs this program.
    #[must_use]
    pub fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// `cargo` of another toolchain, found by rustup.
    #[must_use]
    pub fn cargo_of(toolchain: &str) -> Self {
        // `$CARGO` names one toolchain's binary, which knows no `+toolchain`: the proxy does.
        Self::new("cargo").arg(format!("+{toolchain}"))
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The arguments.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// Other arguments in place of all.
    #[must_use]
    pub fn with_arguments<A: Into<OsString>>(self, args: impl IntoIterator<Item = A>) -> Self {
        Self { args: args.into_iter().map(Into::into).collect(), ..self }
    }

    /// Adds `-p NAME` for each package.
    #[must_use]
    pub fn packages<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().fold(self, |cmd, name| cmd.arg("-p").arg(name))
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.retain(|(known, _)| known != key);
        self.env.push((key.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, key: &str) -> Self {
        self.env.push((key.into(), None));
        self
    }

    /// The variables that are set, as `KEY=value`.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        self.env
            .iter()
            .filter_map(|(key, value)| {
                value.as_ref().map(|value| format!("{key}={}", value.to_string_lossy()))
            })
            .collect()
    }

    /// The command line as a person would type it.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (key, value) in &self.env {
            if let Some(value) = value {
                let _ = write!(line, "{key}={} ", quoted(&value.to_string_lossy()));
            }
        }
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program);
        line.push_str(&program.to_string_lossy());
        for arg in &self.args {
            line.push(' ');
            line.push_str(&quoted(&arg.to_string_lossy()));
        }
        line
    }

    /// The plain command, for use without a leash.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        self.apply_env(&mut command);
        command
    }

    fn apply_env(&self, command: &mut Command) {
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
    }
}

fn quoted(text: &str) -> String {
    if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "'\"$*;&|<>()".contains(c))
    {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with success.
    Success,
    /// It failed with this code; a signal counts as 128 + its number, as in a shell.
    Failure(i32),
    /// The limit was hit and its process group was killed.
    Killed,
}

/// Starts children on a leash.
#[derive(Clone, Debug)]
pub struct Runner {
    leash: PathBuf,
    dir: PathBuf,
    target: Option<PathBuf>,
}

impl Runner {
    /// `leash` is an `xtask` program; `dir` the directory children start in.
    #[must_use]
    pub fn new(leash: PathBuf, dir: PathBuf) -> Self {
        Self { leash, dir, target: None }
    }

    /// Children build in `target`, unless a command says otherwise.
    #[must_use]
    pub fn target(mut self, target: PathBuf) -> Self {
        self.target = Some(target);
        self
    }

    /// This very program as the leash.
    #[must_use]
    pub fn of_this_program(dir: PathBuf) -> Self {
        // The link stays valid when a lane rebuilds the file this program was started from.
        let link = Path::new("/proc/self/exe");
        let leash = if link.exists() {
            link.to_path_buf()
        } else {
            std::env::current_exe().unwrap_or_else(|_| "xtask".into())
        };
        Self::new(leash, dir)
    }

    /// Runs `cmd` with its output appended to `log`, for at most `limit`.
    ///
    /// # Errors
    /// When the child cannot be started.
    pub fn run(&self, cmd: &Cmd, log: &File, limit: Duration) -> io::Result<End> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(&self.leash);
        command.arg("leash").arg("--").arg(&cmd.program).args(&cmd.args);
        if let Some(target) = &self.target {
            command.env("CARGO_TARGET_DIR", target);
        }
        cmd.apply_env(&mut command);
        command
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            // Out of the terminal's group: Ctrl-C must end this program first, and the leash then
            // sees its input close.
            .process_group(0);
        let mut leash = command.spawn()?;
        let input = leash.stdin.take();
        let (tx, rx) = sync_channel(1);
        std::thread::Builder::new().name("wait".into()).spawn(move || {
            let _ = tx.send(leash.wait());
        })?;
        match rx.recv_timeout(limit) {
            Ok(status) => Ok(end_of(status?)),
            Err(RecvTimeoutError::Timeout) => {
                drop(input);
                rx.recv().map_err(io::Error::other)??;
                Ok(End::Killed)
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the waiter ended")),
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    match code_of(status) {
        0 => End::Success,
        code => End::Failure(code),
    }
}

fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

enum Event {
    Ended,
    OwnerGone,
}

/// The leash itself: runs `args` in a process group of its own until it ends or standard input
/// closes, then kills what is left of the group.
#[must_use]
pub fn leash(args: &[OsString]) -> ExitCode {
    match try_leash(args) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            let name = args.first().map(|arg| arg.to_string_lossy().into_owned());
            term::err(format_args!("cannot run {}: {error}", name.unwrap_or_default()));
            ExitCode::from(127)
        }
    }
}

fn try_leash(args: &[OsString]) -> io::Result<i32> {
    use std::os::unix::process::CommandExt as _;
    let Some((program, rest)) = args.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program"));
    };
    let mut child =
        Command::new(program).args(rest).stdin(Stdio::null()).process_group(0).spawn()?;
    let group = Pid::from_child(&child);
    let (tx, rx) = sync_channel(2);
    let ended = tx.clone();
    std::thread::Builder::new().name("wait".into()).spawn(move || {
        // Not reaped yet: the zombie keeps the group's number from being given to a stranger.
        let _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = ended.send(Event::Ended);
    })?;
    std::thread::Builder::new().name("owner".into()).spawn(move || {
        let mut buffer = [0; 64];
        let mut stdin = io::stdin().lock();
        while stdin.read(&mut buffer).is_ok_and(|n| n > 0) {}
        let _ = tx.send(Event::OwnerGone);
    })?;
    let gone = matches!(rx.recv(), Ok(Event::OwnerGone));
    kill_group(&child, group);
    let status = child.wait()?;
    Ok(if gone { 137 } else { code_of(status) })
}

fn kill_group(child: &Child, group: Pid) {
    // `Pid` is never 0; 1 would address every process.
    if child.id() > 1 {
        let _ = kill_process_group(group, Signal::KILL);
    }
}
