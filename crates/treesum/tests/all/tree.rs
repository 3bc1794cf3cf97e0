//! Trees to scan, and what a naive recursion finds in them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;
use tidegate_testkit::Rng;

/// A directory of its own, readable for other users too, gone at the end of the test.
pub(crate) fn tempdir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A directory for very many files without contents: in memory, where there is such a place.
///
/// Disk file systems without an index search a directory of 200 000 names for each new one.
pub(crate) fn wide_tempdir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempdir())
}

pub(crate) fn write(dir: &Path, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// The line of a manifest, put together anew.
pub(crate) fn line(path: &[u8], content: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    for &byte in path {
        match byte {
            b'\\' => name.extend(b"\\\\"),
            b'\n' => name.extend(b"\\n"),
            b'\r' => name.extend(b"\\r"),
            _ => name.push(byte),
        }
    }
    let slash: &[u8] = if name == path { b"" } else { b"\\" };
    [slash, blake3::hash(content).to_hex().as_bytes(), b"  ", &name].concat()
}

/// The lines of all regular files below `root`, which is printed as it is written; sorted by path.
pub(crate) fn expected(at: &Path, root: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    collect(&at.join(root), root.as_bytes(), &mut found);
    found.sort();
    found.into_iter().map(|(_, line)| line).collect()
}

fn collect(dir: &Path, shown: &[u8], found: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let slash: &[u8] = if shown.ends_with(b"/") { b"" } else { b"/" };
        let shown = [shown, slash, entry.file_name().as_bytes()].concat();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &shown, found);
        } else if kind.is_file() {
            let line = line(&shown, &fs::read(entry.path()).unwrap());
            found.push((shown, line));
        }
    }
}

/// A name of any bytes a name can hold.
pub(crate) fn name(rng: &mut Rng, longest: u64) -> OsString {
    loop {
        let len = 1 + rng.below(longest);
        let byte = |rng: &mut Rng| match rng.below(6) {
            // The bytes that matter to the format and to the order come often.
            0 => *b"\n\r\\ ./-\x01\xff".get(usize::try_from(rng.below(9)).unwrap()).unwrap(),
            1 => u8::try_from(1 + rng.below(255)).unwrap(),
            _ => b'a' + u8::try_from(rng.below(4)).unwrap(),
        };
        let bytes: Vec<u8> = (0..len).map(|_| byte(rng)).filter(|&byte| byte != b'/').collect();
        if !matches!(&bytes[..], b"" | b"." | b"..") {
            return OsString::from_vec(bytes);
        }
    }
}

/// Grows a random tree: `files` files in directories of random names and depths.
pub(crate) fn random(dir: &Path, rng: &mut Rng, files: u64) {
    let mut dirs = vec![dir.to_owned()];
    let mut made = 0;
    while made < files {
        let parent = dirs[usize::try_from(rng.below(dirs.len() as u64)).unwrap()].clone();
        let path = parent.join(name(rng, 8));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match rng.below(8) {
            0 => {
                fs::create_dir(&path).unwrap();
                dirs.push(path);
            }
            1 => std::os::unix::fs::symlink(OsStr::new("nowhere"), &path).unwrap(),
            _ => {
                let content: Vec<u8> =
                    (0..rng.below(300)).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
                fs::write(&path, content).unwrap();
                made += 1;
            }
        }
    }
}

/// A chain of `levels` directories of one name, deeper than any path can be long; `each` is
/// called with the number of the level, from 1, and its directory.
pub(crate) fn chain(root: &Path, name: &str, levels: usize, each: impl Fn(usize, &OwnedFd)) {
    let mut at = rustix::fs::open(root, OFlags::PATH, Mode::empty()).unwrap();
    for level in 1..=levels {
        rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(&at, name, OFlags::PATH, Mode::empty()).unwrap();
        each(level, &at);
    }
}

pub(crate) fn write_at(dir: &OwnedFd, name: &str, content: &[u8]) {
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).unwrap();
    fs::File::from(file).write_all(content).unwrap();
}

/// Removes a chain from its top, level by level, as no recursion that keeps all of it open could.
pub(crate) fn remove_chain(root: &Path, name: &str) {
    // What is inside the first level moves up, and the first level goes.
    let (first, next) = (root.join(name), root.join("next"));
    while first.exists() {
        let inner = first.join(name);
        let more = inner.exists();
        if more {
            fs::rename(&inner, &next).unwrap();
        }
        fs::remove_dir_all(&first).unwrap();
        if more {
            fs::rename(&next, &first).unwrap();
        }
    }
}
