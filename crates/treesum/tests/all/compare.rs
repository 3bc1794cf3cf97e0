//! Side by side with the `b3sum` program: its path is in `TREESUM_B3SUM`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open, openat};
use tidegate_testkit::{Rng, Seed, scale};

use crate::bad_input::as_nobody;
use crate::program::{run, treesum, wrapped};
use crate::tree::{self, tempdir, write, write_at};

/// How many paths go to one run of b3sum.
const BATCH: usize = 500;

/// Levels of the deep chain, and how often a file stands on one.
const DEEP: usize = 3000;
const EVERY: usize = 500;

fn b3sum() -> Option<PathBuf> {
    let path = std::env::var_os("TREESUM_B3SUM").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: TREESUM_B3SUM is not set to the b3sum program");
    }
    path
}

/// Runs b3sum with its paths in batches, from `dir`; its output in the order of the paths.
fn b3sum_of(program: &Path, dir: &Path, options: &[&str], paths: &[OsString]) -> Vec<u8> {
    let mut printed = Vec::new();
    for batch in paths.chunks(BATCH) {
        let mut command = Command::new(program);
        let output = command.args(options).arg("--").args(batch).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", output.stderr.escape_ascii());
        printed.extend(output.stdout);
    }
    printed
}

/// The sums that treesum prints, by path.
fn scanned(dir: &Path, args: &[&str]) -> BTreeMap<Vec<u8>, String> {
    let ran = treesum(dir, args);
    assert!(matches!(ran.code(), Some(0 | 1)), "{}", ran.stderr);
    let mut sums = BTreeMap::new();
    for line in ran.lines() {
        let (slash, line) = match line {
            [b'\\', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let hash = String::from_utf8(line[..64].to_vec()).unwrap();
        assert_eq!(&line[64..66], b"  ");
        let path = if slash { unescape(&line[66..]) } else { line[66..].to_vec() };
        assert!(sums.insert(path, hash).is_none(), "printed twice");
    }
    sums
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut after_slash = false;
    for &byte in text {
        match (after_slash, byte) {
            (false, b'\\') => after_slash = true,
            (false, other) => bytes.push(other),
            (true, other) => {
                let meant = [(b'n', b'\n'), (b'r', b'\r'), (b'\\', b'\\')];
                bytes.push(meant.iter().find(|(code, _)| *code == other).unwrap().1);
                after_slash = false;
            }
        }
    }
    bytes
}

/// A tree with everything that has ever gone wrong; `./chain` is made apart.
fn grow(dir: &Path, rng: &mut Rng) {
    for byte in (1..=255_u8).filter(|byte| !b"./".contains(byte)) {
        write(dir, Path::new("bytes").join(OsStr::from_bytes(&[byte])), [byte]);
    }
    let names = dir.join("names");
    fs::create_dir(&names).unwrap();
    for _ in 0..scale(5000) {
        let longest = if rng.one_in(10) { 255 } else { 20 };
        let path = names.join(tree::name(rng, longest));
        fs::write(path, rng.next_u64().to_le_bytes()).unwrap();
    }
    tree::random(&names, rng, scale(2000));
    let mut block = vec![0; 8192];
    block.fill_with(|| rng.next_u64().to_le_bytes()[0]);
    for i in 0..scale(45_000) {
        let len = usize::try_from(rng.below(2000)).unwrap();
        let from = usize::try_from(rng.below(6000)).unwrap();
        let sub = dir.join(format!("many/{}/{}", i % 37, i % 211));
        if i < 37 * 211 {
            fs::create_dir_all(&sub).unwrap();
        }
        fs::write(sub.join(i.to_string()), &block[from..from + len]).unwrap();
    }
    for size in [0, 1, 1023, 1024, 1025, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073] {
        write(
            dir,
            format!("size/{size}"),
            block.iter().cycle().take(size).copied().collect::<Vec<_>>(),
        );
    }
    write(dir, "size/huge", block.repeat((100 << 20) / block.len()));
    for i in 0..20 {
        fs::hard_link(dir.join("size/65537"), dir.join(format!("size/link{i}"))).unwrap();
    }
    for (target, link) in [
        ("..", "up"),
        ("loop", "loop"),
        ("nowhere", "dangling"),
        ("size/1", "file"),
        ("many", "dir"),
    ] {
        symlink(target, dir.join(link)).unwrap();
    }
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// All regular files below `dir`, as `find . -type f` lists them.
fn found(dir: &Path) -> Vec<OsString> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from(".")];
    while let Some(sub) = dirs.pop() {
        for entry in fs::read_dir(dir.join(&sub)).unwrap() {
            let entry = entry.unwrap();
            let path = sub.join(entry.file_name());
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => dirs.push(path),
                kind if kind.is_file() => found.push(path.into_os_string()),
                _ => {}
            }
        }
    }
    found
}

/// Without names, b3sum loses nothing: its sums come in the order of the paths.
fn assert_same(program: &Path, dir: &Path, paths: &[OsString], sums: &BTreeMap<Vec<u8>, String>) {
    let theirs = b3sum_of(program, dir, &["--no-names"], paths);
    let theirs: Vec<&[u8]> = theirs.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(theirs.len(), paths.len());
    for (path, hash) in paths.iter().zip(theirs) {
        let ours = sums.get(path.as_bytes()).map(String::as_bytes);
        assert_eq!(ours, hash.strip_suffix(b"\n"), "{}", path.display());
    }
}

#[test]
fn compare_a_directory_of_200_000_entries() {
    let Some(program) = b3sum() else { return };
    let dir = tree::wide_tempdir();
    let files = scale(200_000);
    for i in 0..files {
        fs::File::create(dir.path().join(i.to_string())).unwrap();
    }
    let paths = found(dir.path());
    let sums = scanned(dir.path(), &["scan", "."]);
    assert_eq!(sums.len() as u64, files);
    assert_same(&program, dir.path(), &paths, &sums);
    told("a_wide_directory", paths.len());
}

#[test]
fn compare_a_tree_of_every_kind() {
    let Some(program) = b3sum() else { return };
    let seed = Seed::from_env_or_new("compare");
    eprintln!("compare: seed={seed}");
    let dir = tempdir();
    grow(dir.path(), &mut seed.rng());
    let paths = found(dir.path());
    let unordered = scanned(dir.path(), &["scan", ".", "--unordered"]);
    let sums = scanned(dir.path(), &["scan", "."]);
    assert!(sums == unordered, "sorted and unordered differ, {seed}");
    assert_eq!(sums.len(), paths.len());
    assert!(sums.len() as u64 >= scale(50_000));
    assert_same(&program, dir.path(), &paths, &sums);

    // Names that b3sum can print are printed in the same way.
    let mut paths: Vec<_> = paths.into_iter().filter(|path| path.to_str().is_some()).collect();
    paths.sort();
    let theirs = b3sum_of(&program, dir.path(), &[], &paths);
    let ran = treesum(dir.path(), ["scan", ".", "--quiet"]);
    let utf8 = |line: &&[u8]| std::str::from_utf8(line).is_ok();
    let ours: Vec<_> = ran.lines().into_iter().filter(utf8).collect();
    let theirs: Vec<_> = theirs.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(*ours == theirs, "{} / {}", ours.escape_ascii(), theirs.escape_ascii());
    }
    told("a_tree_of_every_kind", sums.len());
}

#[test]
fn compare_a_chain_deeper_than_a_path_can_be_long() {
    let Some(program) = b3sum() else { return };
    let dir = tempdir();
    tree::chain(dir.path(), "d", DEEP, |level, at| {
        if level % EVERY == 0 {
            write_at(at, "file", level.to_string().as_bytes());
        }
    });
    let sums = scanned(dir.path(), &["scan", "."]);
    assert_eq!(sums.len(), DEEP / EVERY);
    let mut at = open(dir.path(), OFlags::PATH, Mode::empty()).unwrap();
    for level in 1..=DEEP {
        at = openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        if level % EVERY == 0 {
            // b3sum takes no such path, but the open file.
            let file = openat(&at, "file", OFlags::RDONLY, Mode::empty()).unwrap();
            let output = Command::new(&program).arg("--no-names").stdin(Stdio::from(file)).output();
            let theirs = String::from_utf8(output.unwrap().stdout).unwrap();
            let path = format!("./{}file", "d/".repeat(level));
            assert_eq!(sums.get(path.as_bytes()).map(String::as_str), Some(theirs.trim_end()));
        }
    }
    drop(at);
    tree::remove_chain(dir.path(), "d");
    told("a_chain", sums.len());
}

#[test]
fn compare_a_tree_with_unreadable_parts() {
    let Some(program) = b3sum() else { return };
    let dir = tempdir();
    for name in ["t/a", "t/shut/x", "t/shut/y/z", "t/b/c", "t/b/secret"] {
        write(dir.path(), name, name);
    }
    let shut = dir.path().join("t/shut");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    let secret = dir.path().join("t/b/secret");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o000)).unwrap();
    let Some(mut command) = as_nobody(dir.path(), &["scan", "t"]) else { return };
    let ran = run(command.current_dir(dir.path())).expect(1);
    let theirs = b3sum_of(&program, dir.path(), &[], &["t/a".into(), "t/b/c".into()]);
    assert_eq!(ran.stdout, theirs);
    ran.says(&["t/shut: Permission denied"]).says(&["t/b/secret: Permission denied"]);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
    told("unreadable_parts", 2);
}

#[test]
fn compare_manifests_of_either_side_are_verified_by_the_other() {
    let Some(program) = b3sum() else { return };
    let seed = Seed::from_env_or_new("compare verify");
    let dir = tempdir();
    let tree = dir.path().join("t");
    fs::create_dir(&tree).unwrap();
    for name in ["a", "b  c", "d\ne", "f\\g", "h\rj", " k", "l) = m", "ü", "\\", "sub/\u{1F30A}"] {
        write(&tree, name, name);
    }
    tree::random(&tree.join("sub"), &mut seed.rng(), 100);
    let mut paths = found(dir.path());
    paths.retain(|path| path.to_str().is_some());
    for options in [&[][..], &["--tag"]] {
        let manifest = b3sum_of(&program, dir.path(), options, &paths);
        fs::write(dir.path().join("theirs"), manifest).unwrap();
        let ran = treesum(dir.path(), ["verify", "theirs"]).expect(0);
        ran.says(&[&format!("theirs: {} ok, 0 changed, 0 missing", paths.len())]);
    }
    // b3sum takes no manifest with names that are not UTF-8, so those go first.
    for path in found(dir.path()).iter().filter(|path| path.to_str().is_none()) {
        fs::remove_file(dir.path().join(path)).unwrap();
    }
    let has_bad_dir = found(dir.path()).iter().any(|path| path.to_str().is_none());
    assert!(!has_bad_dir);
    treesum(dir.path(), ["scan", "t", "-o", "ours"]).expect(0);
    let check =
        run(wrapped(program.to_str().unwrap(), ["--check", "ours"]).current_dir(dir.path()));
    assert_eq!(check.code(), Some(0), "{check:?}");
    let lines = fs::read(dir.path().join("ours")).unwrap();
    let lines = lines.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(check.lines().len(), lines);
    told("manifests", lines);
}

/// For the lane, which counts what was compared.
fn told(name: &str, files: usize) {
    eprintln!("compare: {name} files={files}");
}
