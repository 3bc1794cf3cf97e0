//! `bench`: the side-by-side benchmarks. Not a lane: numbers depend on the machine.

use std::{ffi::OsString, io, process::ExitCode};

use crate::process::Cmd;

/// Runs the benchmark program with `args`, on this terminal.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(args: Vec<OsString>) -> io::Result<ExitCode> {
    let status = Cmd::cargo()
        .args(["run", "--locked", "--release", "-p", "tidegate-bench", "--"])
        .args(args)
        .command()
        .status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
