//! The main job, as whole processes: checksums of a source checkout, warm cache.

use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
    tree,
};
use std::{
    env,
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let root = tree::checkout(if plan.quick { tree::SMALL } else { tree::CHECKOUT });
    let rounds = plan.rounds(11);
    let treesum = build();
    let scan = |args: &[&str]| lines(Command::new(&treesum).arg("scan").args(args).arg(&root));
    let xargs = "find \"$1\" -type f -print0 | xargs -0 -P2 -n256 \"$0\"";
    let b3sum = env::var_os("TREESUM_B3SUM").unwrap_or_else(|| "b3sum".into());
    let peers = env::current_exe().unwrap();
    let ignore = || number(Command::new(&peers).args(["--solo", "ignore-hash"]).arg(&root));
    let visit = || lines(Command::new(&peers).args(["--solo", "visit-hash"]).arg(&root));
    let mut contest = Contest::new("treesum scan, sorted", Cost::Wall, rounds, || scan(&[]));
    if available(&b3sum) {
        contest = contest.against("find | xargs -P2 b3sum", 0.45, || {
            lines(Command::new("sh").args(["-c", xargs]).arg(&b3sum).arg(&root))
        });
    } else {
        println!("  b3sum is not available: set TREESUM_B3SUM to its path");
    }
    let contest = contest.against("ignore + fs::read + BLAKE3", 0.85, ignore);
    let mut ratios = contest.against("the walk's visitor + BLAKE3", None, visit).run();
    let unordered =
        Contest::new("treesum scan --unordered", Cost::Wall, rounds, || scan(&["--unordered"]))
            .against("ignore + fs::read + BLAKE3", 0.85, ignore)
            .against("the walk's visitor + BLAKE3", None, visit);
    ratios.extend(unordered.run());
    ratios
}

/// Builds the program that is measured, so that it is never an old one.
fn build() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "treesum"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "treesum does not build");
    env::current_exe().unwrap().with_file_name("treesum")
}

fn available(program: &OsStr) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    Path::new(program).exists() || run.is_ok_and(|status| status.success())
}

/// Runs a program and counts the lines it prints.
fn lines(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut lines = 0;
    loop {
        match out.read(&mut buffer).unwrap() {
            0 => break,
            n => lines += buffer[..n].iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>(),
        }
    }
    assert!(child.wait().unwrap().success());
    lines
}

/// Runs a contender of this program and reads what it counted.
fn number(command: &mut Command) -> u64 {
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
