//! The rules of `.gitignore` files, nested as in git; the matching itself is the `ignore` crate's.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::CWD;
use tidegate_core::sync::Arc;

use crate::dir::Dir;
use crate::entry::FileType;
use crate::error::{WalkError, WalkErrorKind};
use crate::run::Run;
use crate::sys::{Errno, Sys};

/// An ignore file larger than this is an error: rules are read into memory.
const FILE_SIZE_MAX: u64 = 4 << 20;

/// The rules in force in one directory: a chain of files, the deepest first.
#[derive(Clone, Default)]
pub(crate) struct Rules(Option<Arc<Level>>);

/// The rules of one file. They are matched against paths relative to the file's directory, which
/// are tails of one string: the path from the outermost directory with rules.
struct Level {
    matcher: Gitignore,
    /// Where in that string paths relative to this level start.
    start: usize,
    /// What that string begins with: the way from the outermost directory to the root.
    prefix: Arc<[u8]>,
    outer: Rules,
}

impl Drop for Level {
    /// In a loop: an ignore file in each directory of a deep tree makes a long chain.
    fn drop(&mut self) {
        let mut next = self.outer.0.take();
        while let Some(level) = next {
            next = Arc::into_inner(level).and_then(|mut level| level.outer.0.take());
        }
    }
}

/// The path being matched, kept by each thread for reuse.
#[derive(Default)]
pub(crate) struct Scratch {
    path: Vec<u8>,
    dir_len: usize,
}

impl Rules {
    fn push(self, matcher: Option<Gitignore>, start: usize, prefix: &Arc<[u8]>) -> Self {
        match matcher {
            Some(matcher) => {
                let prefix = Arc::clone(prefix);
                Self(Some(Arc::new(Level { matcher, start, prefix, outer: self })))
            }
            None => self,
        }
    }

    /// The rules that reach a root from the directories above it, up to its repository.
    pub(crate) fn above_root(run: &Run, root: &[u8], errors: &mut Vec<WalkError>) -> Self {
        let sys = run.sys();
        let Ok(real) = std::fs::canonicalize(OsStr::from_bytes(root)) else {
            return Self::default();
        };
        let exists = |dir: &Path| sys.stat_at(CWD, bytes(&dir.join(".git")), false).is_ok();
        if exists(&real) {
            return Self::default();
        }
        let Some(repository) = real.ancestors().skip(1).find(|dir| exists(dir)) else {
            return Self::default();
        };
        let Ok(below) = real.strip_prefix(repository) else { return Self::default() };
        let mut prefix = bytes(below).to_vec();
        prefix.push(b'/');
        let prefix: Arc<[u8]> = prefix.into();
        let mut load = |path: PathBuf| {
            load(sys, CWD, bytes(&path)).unwrap_or_else(|error| {
                errors.push(WalkError::new(path.clone(), 0, error));
                None
            })
        };
        let mut rules = Self::default();
        rules = rules.push(load(repository.join(".git/info/exclude")), 0, &prefix);
        let mut dir = repository.to_owned();
        let mut start = 0;
        for component in below.components() {
            rules = rules.push(load(dir.join(".gitignore")), start, &prefix);
            start += component.as_os_str().len() + 1;
            dir.push(component);
        }
        rules
    }

    /// The rules inside a directory: those from above and its own.
    pub(crate) fn enter(
        &self,
        run: &Run,
        fd: BorrowedFd<'_>,
        dir: &Arc<Dir>,
        errors: &mut Vec<WalkError>,
    ) -> Self {
        if !run.config.gitignore {
            return Self::default();
        }
        let sys = run.sys();
        let mut load = |name: &[u8]| {
            load(sys, fd, name).unwrap_or_else(|error| {
                errors.push(WalkError::at(dir, Some(name), error));
                None
            })
        };
        let starts_repository = sys.stat_at(fd, b".git", false).is_ok();
        let mut rules = if starts_repository { Self::default() } else { self.clone() };
        let prefix = match &rules.0 {
            Some(level) => Arc::clone(&level.prefix),
            None => Arc::from([].as_slice()),
        };
        let mut path = Vec::new();
        write_relative(&prefix, dir, &mut path);
        if starts_repository {
            rules = rules.push(load(b".git/info/exclude"), path.len(), &prefix);
        }
        rules.push(load(b".gitignore"), path.len(), &prefix)
    }

    /// Gets ready to match the entries of `dir`.
    pub(crate) fn prepare(&self, dir: &Arc<Dir>, scratch: &mut Scratch) {
        if let Some(level) = &self.0 {
            scratch.path.clear();
            write_relative(&level.prefix, dir, &mut scratch.path);
            scratch.dir_len = scratch.path.len();
        }
    }

    /// Whether an entry of the prepared directory is ignored.
    pub(crate) fn ignores(&self, scratch: &mut Scratch, name: &[u8], is_dir: bool) -> bool {
        if self.0.is_none() {
            return false;
        }
        scratch.path.truncate(scratch.dir_len);
        scratch.path.extend_from_slice(name);
        let mut rules = self;
        while let Some(level) = &rules.0 {
            let path = Path::new(OsStr::from_bytes(&scratch.path[level.start..]));
            match level.matcher.matched(path, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => rules = &level.outer,
            }
        }
        false
    }
}

/// The path of `dir` below its root, after `prefix`, with a slash at the end unless it is empty.
fn write_relative(prefix: &[u8], dir: &Arc<Dir>, out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    let below_root: Vec<&Arc<Dir>> = dir.chain().filter(|dir| dir.child_depth > 1).collect();
    for dir in below_root.iter().rev() {
        out.extend_from_slice(dir.name());
        out.push(b'/');
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Reads the rules of one file. A missing file has none; neither have links and directories of
/// that name, as in git.
fn load(sys: &Sys, at: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Gitignore>, WalkErrorKind> {
    let file = match sys.open_file(at, name, false) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(WalkErrorKind::Open(errno.into())),
    };
    let stat = sys.fstat(file.as_fd()).map_err(|errno| WalkErrorKind::Stat(errno.into()))?;
    if FileType::of(&stat) != FileType::File {
        return Ok(None);
    }
    let mut text = Vec::new();
    let read = std::fs::File::from(file).take(FILE_SIZE_MAX + 1).read_to_end(&mut text);
    read.map_err(WalkErrorKind::Read)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        let message = "an ignore file of more than 4 MiB";
        let error = std::io::Error::new(std::io::ErrorKind::FileTooLarge, message);
        return Err(WalkErrorKind::Read(error));
    }
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Option<Gitignore> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(text).lines() {
        // Git ignores a pattern it cannot parse.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok().filter(|matcher| !matcher.is_empty())
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_100_000_levels_drops_without_overflow() {
        let prefix: Arc<[u8]> = Arc::from([].as_slice());
        let mut rules = Rules::default();
        for _ in 0..100_000 {
            rules = rules.push(Some(Gitignore::empty()), 0, &prefix);
        }
        assert!(rules.0.is_some());
        drop(rules);
    }

    #[test]
    fn a_line_that_is_no_pattern_spoils_no_other() {
        let matcher = parse(b"\xEF\xBB\xBFa\n[\n\xFF\nb\n").expect("two patterns");
        for (name, ignored) in [("a", true), ("b", true), ("c", false)] {
            assert_eq!(matcher.matched(name, false).is_ignore(), ignored, "{name}");
        }
    }
}
