//! Counting allocations with the program beside this one, which noise cannot disturb.

use std::{env, process::Command};

/// What one case of `tidegate-bench-counts` allocated, for each time that it was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allocated {
    pub(crate) count: f64,
    pub(crate) bytes: f64,
    /// Bytes that are alive after the work and before its result is dropped.
    pub(crate) live: f64,
}

/// Runs the case of that name `times` times in one process.
pub(crate) fn allocated(case: &str, times: u64) -> Allocated {
    let program = env::current_exe().unwrap().with_file_name("tidegate-bench-counts");
    let output = Command::new(&program).arg(case).arg(times.to_string()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask bench` builds it", program.display())
    });
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut each = text.split_ascii_whitespace().map(|n| n.parse::<f64>().unwrap() / times as f64);
    let mut next = || each.next().unwrap();
    let allocated = Allocated { count: next(), bytes: next(), live: next() };
    println!("  {case}: {allocated:.3?} each of {times}");
    allocated
}
