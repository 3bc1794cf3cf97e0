//! What is to run, checked before the system sees it, and what went wrong if it did not.

use super::{Proc, SpawnError, builder::Input, builder::Sink};
use rustix::io::Errno;
use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

/// What the system is to start.
pub(super) fn build(proc: &Proc) -> Result<Command, SpawnError> {
    check(proc)?;
    let mut command = Command::new(&proc.program);
    command.args(&proc.args);
    if proc.clears_env {
        command.env_clear();
    }
    for (name, value) in &proc.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = &proc.directory {
        command.current_dir(directory);
    }
    if proc.tree.has_group() {
        command.process_group(0);
    }
    command.stdin(match proc.stdin {
        Input::Null => Stdio::null(),
        Input::Inherit => Stdio::inherit(),
        Input::Bytes(_) | Input::Piped => Stdio::piped(),
    });
    command.stdout(stdio(proc.stdout)).stderr(stdio(proc.stderr));
    Ok(command)
}

fn stdio(sink: Sink) -> Stdio {
    match sink {
        Sink::Null => Stdio::null(),
        Sink::Inherit => Stdio::inherit(),
        Sink::Capture | Sink::Piped => Stdio::piped(),
    }
}

fn check(proc: &Proc) -> Result<(), SpawnError> {
    if proc.program.is_empty() {
        return Err(SpawnError::NoProgram);
    }
    let no_nul = |text: &OsStr, place: &dyn Fn() -> String| {
        if text.as_bytes().contains(&0) {
            return Err(SpawnError::NulByte { program: proc.label(), place: place() });
        }
        Ok(())
    };
    no_nul(&proc.program, &|| "its name".to_owned())?;
    for (n, arg) in proc.args.iter().enumerate() {
        no_nul(arg, &|| format!("argument {}", n + 1))?;
    }
    for (name, value) in &proc.env {
        if name.is_empty() || name.as_bytes().iter().any(|&byte| byte == b'=' || byte == 0) {
            let name = name.to_string_lossy().into_owned();
            return Err(SpawnError::VariableName { program: proc.label(), name });
        }
        if let Some(value) = value {
            no_nul(value, &|| format!("the value of {name:?}"))?;
        }
    }
    if let Some(directory) = &proc.directory {
        no_nul(directory.as_os_str(), &|| "its directory".to_owned())?;
    }
    Ok(())
}

/// Why the system did not start it: it says the same of a missing directory and of a missing
/// program.
pub(super) fn explain(proc: &Proc, source: io::Error) -> SpawnError {
    let program = proc.label();
    if let Some(directory) = &proc.directory {
        if let Err(source) = enter(directory) {
            return SpawnError::Directory { program, directory: directory.clone(), source };
        }
    }
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT) if is_there(proc) => SpawnError::NoInterpreter { program },
        Some(Errno::NOENT | Errno::NOTDIR) => SpawnError::NotFound { program },
        Some(Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::ISDIR) => {
            SpawnError::NotExecutable { program, source }
        }
        _ => SpawnError::System { program, doing: "start it", source },
    }
}

/// Whether a process could start there.
fn enter(directory: &Path) -> io::Result<()> {
    if !directory.metadata()?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    // The dot is found only by who may search the directory.
    directory.join(".").metadata().map(drop)
}

/// Whether the file of the program is there: by its path, or in one of the directories where
/// programs are looked for.
fn is_there(proc: &Proc) -> bool {
    let program = Path::new(&proc.program);
    if proc.program.as_bytes().contains(&b'/') {
        let directory = proc.directory.as_deref().unwrap_or(Path::new(""));
        return directory.join(program).exists();
    }
    let path = match proc.env.iter().rev().find(|(name, _)| name == "PATH") {
        Some((_, value)) => value.clone(),
        None if proc.clears_env => None,
        None => env::var_os("PATH"),
    };
    path.is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
