//! The rules of `.gitignore` files, nested as in git; the matching itself is the `ignore` crate's.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::CWD;
use tidegate_core::sync::Arc;

use crate::dir::{Dir, OpenDir};
use crate::entry::FileType;
use crate::error::{WalkError, WalkErrorKind};
use crate::run::Run;
use crate::sys::{Errno, Sys, is_fd_shortage};

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
    pub(crate) fn above_root(
        run: &Run,
        anchor: &Arc<OpenDir>,
        root: &[u8],
        errors: &mut Vec<WalkError>,
    ) -> Self {
        let sys = run.sys();
        let mut report = |path: &Path, error| {
            errors.push(WalkError::new(path.to_owned(), 0, WalkErrorKind::IgnoreFile(error)));
        };
        let root = Path::new(OsStr::from_bytes(root));
        let real = match std::fs::canonicalize(root) {
            Ok(real) => real,
            Err(error) => {
                report(root, error);
                return Self::default();
            }
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
            let loaded = run.fds.persist(anchor, || load(sys, CWD, bytes(&path)));
            let (matcher, problem) = loaded.unwrap_or_else(|errno| (None, Some(errno.into())));
            if let Some(problem) = problem {
                report(&path, problem);
            }
            matcher
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
    ///
    /// # Errors
    ///
    /// Only a shortage of descriptors, which passes: every other problem is one of `errors`.
    pub(crate) fn enter(
        &self,
        run: &Run,
        fd: BorrowedFd<'_>,
        dir: &Arc<Dir>,
        errors: &mut Vec<WalkError>,
    ) -> Result<Self, Errno> {
        if !run.config.gitignore {
            return Ok(Self::default());
        }
        let sys = run.sys();
        let mut load = |name: &[u8]| {
            let (matcher, problem) = load(sys, fd, name)?;
            let kind = problem.map(WalkErrorKind::IgnoreFile);
            errors.extend(kind.map(|kind| WalkError::at(dir, Some(name), kind)));
            Ok(matcher)
        };
        let starts_repository = sys.stat_at(fd, b".git", false).is_ok();
        let exclude = if starts_repository { load(b".git/info/exclude")? } else { None };
        let own = load(b".gitignore")?;
        let rules = if starts_repository { Self::default() } else { self.clone() };
        if exclude.is_none() && own.is_none() {
            return Ok(rules);
        }
        let prefix = match &rules.0 {
            Some(level) => Arc::clone(&level.prefix),
            None => Arc::from([].as_slice()),
        };
        let mut path = Vec::new();
        write_relative(&prefix, dir, &mut path);
        Ok(rules.push(exclude, path.len(), &prefix).push(own, path.len(), &prefix))
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

/// The rules of a file, and what is wrong with it.
type Loaded = (Option<Gitignore>, Option<io::Error>);

/// Reads the rules of one file. A missing file has none; neither have links and directories of
/// that name, as in git. Fails only for want of a descriptor.
fn load(sys: &Sys, at: BorrowedFd<'_>, name: &[u8]) -> Result<Loaded, Errno> {
    match sys.open_file(at, name, false) {
        Ok(file) => {
            Ok(read(sys, file).map_or_else(|error| (None, Some(error)), |text| parse(&text)))
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok((None, None)),
        Err(errno) if is_fd_shortage(errno) => Err(errno),
        Err(errno) => Ok((None, Some(errno.into()))),
    }
}

fn read(sys: &Sys, file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if FileType::of(&sys.fstat(file.as_fd())?) != FileType::File {
        return Ok(text);
    }
    std::fs::File::from(file).take(FILE_SIZE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 4 MiB"));
    }
    Ok(text)
}

fn parse(text: &[u8]) -> Loaded {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut builder = GitignoreBuilder::new("");
    // A rule that does not hold may deliver what was to stay unseen: it is not dropped in silence.
    let mut problem = None;
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let added = match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(line) => builder.add_line(None, line).map(drop).map_err(reason),
            Err(_) => Err("not UTF-8".to_owned()),
        };
        if let (Err(reason), None) = (added, &problem) {
            problem = Some(format!("line {number} is no pattern: {reason}"));
        }
    }
    let matcher = builder.build().map_err(|error| problem = Some(reason(error)));
    let problem = problem.map(|text| io::Error::new(io::ErrorKind::InvalidData, text));
    (matcher.ok().filter(|matcher| !matcher.is_empty()), problem)
}

/// Without the pattern itself, which may hold anything.
fn reason(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string().escape_debug().to_string(),
    }
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
        let (matcher, problem) = parse(b"\xEF\xBB\xBFa\r\n{\n\xFF\nb\n");
        let matcher = matcher.expect("two patterns");
        let problem = problem.expect("two lines are none").to_string();
        assert!(problem.starts_with("line 2 is no pattern: "), "{problem}");
        for (name, ignored) in [("a", true), ("b", true), ("c", false)] {
            assert_eq!(matcher.matched(name, false).is_ignore(), ignored, "{name}");
        }
    }
}
