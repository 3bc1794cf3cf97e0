//! The memory bound: 64 MiB for any tree without order.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tidegate_testkit::scale;

use crate::program::{command, drain, poll};
use crate::tree::wide_tempdir;

/// The peak of the resident memory in KiB, as the kernel counts it; none after the end.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn a_directory_of_200_000_entries_takes_less_than_64_mib() {
    let dir = wide_tempdir();
    let files = scale(200_000);
    for i in 0..files {
        fs::File::create(dir.path().join(format!("a file with a name of some length {i:08}")))
            .unwrap();
    }
    for order in ["--unordered", "--threads=8"] {
        let mut command = command(["scan", ".", order]);
        let mut child = command.current_dir(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = drain(child.stdout.take().unwrap());
        let mut most = 0;
        let ended = poll(Duration::from_secs(100), || {
            most = most.max(peak(child.id()).unwrap_or(0));
            child.try_wait().unwrap().is_some()
        });
        assert!(ended && child.wait().unwrap().success(), "{order}");
        let lines = stdout.join().unwrap().iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines as u64, files, "{order}");
        eprintln!("{order}: peak of {most} KiB for {files} files");
        assert!(most > 1000, "not measured");
        if order == "--unordered" {
            assert!(most < 64 << 10, "{most} KiB");
        }
    }
}
