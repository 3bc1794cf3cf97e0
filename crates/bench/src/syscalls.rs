//! Counting system calls with `strace`, which noise cannot disturb.

use crate::contest::Ratio;
use std::{env, fs, path::Path, process::Command};

/// System calls for each directory: those of a walk, less those of an empty run.
pub(crate) fn per_directory(root: &Path, dirs: u64) -> Vec<Ratio> {
    let (Some(all), Some(base)) = (count("walk-1", root), count("nothing", root)) else {
        println!("  strace is not available: system calls are not counted");
        return Vec::new();
    };
    let each = all.saturating_sub(base) as f64 / dirs as f64;
    println!("  {each:.3} system calls for each of {dirs} directories");
    vec![Ratio {
        op: "system calls, sync visitor".into(),
        peer: "directories".into(),
        unit: "count",
        median: each,
        min: each,
        target: Some(4.1),
        work: dirs,
        rounds: 1,
    }]
}

fn count(contender: &str, root: &Path) -> Option<u64> {
    let out = env::temp_dir().join(format!("tidegate-strace-{}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&out)
        .arg(env::current_exe().ok()?)
        .args(["--solo", contender])
        .arg(root)
        .stdout(std::process::Stdio::null())
        .status()
        .ok()?;
    let table = fs::read_to_string(&out).ok()?;
    drop(fs::remove_file(out));
    // The last line reads: percent, seconds, microseconds, calls, errors if any, "total".
    let total = table.lines().rfind(|line| line.trim_end().ends_with("total"))?;
    let calls = total.split_ascii_whitespace().nth(3)?.parse().ok();
    calls.filter(|_| status.success())
}
