//! What the user sees. A closed pipe is not an error worth a panic.

use std::{
    fmt::Arguments,
    io::{self, Write as _},
};

/// Prints a line on standard output.
pub fn out(line: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_fmt(line).and_then(|()| stdout.write_all(b"\n"));
    let _ = stdout.flush();
}

/// Prints a line on standard error.
pub fn err(line: Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_fmt(line).and_then(|()| stderr.write_all(b"\n"));
}
