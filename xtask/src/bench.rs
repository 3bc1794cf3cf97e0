//! `bench`: the side-by-side benchmarks. Not a lane: numbers depend on the machine.

use std::{ffi::OsString, io, process::ExitCode};

use crate::process::Cmd;

/// Runs the benchmark program with `args`, on this terminal.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(args: Vec<OsString>) -> io::Result<ExitCode> {
    let package = ["--locked", "--release", "-p", "tidegate-bench"];
    // There are two programs, and the one that is run starts the other.
    let built = Cmd::cargo().args(["build", "--bins"]).args(package).command().status()?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let status = Cmd::cargo().arg("run").args(package).arg("--").args(args).command().status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
