//! Reads one directory: opens it below its parent, asks what each entry is, and leaves out what
//! the configuration says.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use tidegate_core::sync::Arc;

use crate::dir::{Dir, Identity, OpenDir};
use crate::entry::{EntryRef, FileType};
use crate::error::{WalkError, WalkErrorKind, open_failure, stat_failure};
use crate::job::DirJob;
use crate::rules::{Rules, Scratch};
use crate::run::Run;
use crate::state::lock;
use crate::summary::Summary;
use crate::sys::{DIR_BUFFER, Errno, RawEntry, identity_of};
use crate::visit::Flow;
use crate::walk::Follow;

/// Takes what is found in one directory.
pub(crate) trait Contents {
    /// An entry found in `place`; nobody has asked the filter about it yet.
    fn entry(&mut self, entry: EntryRef<'_>, place: &Place) -> Flow;
    fn error(&mut self, error: WalkError) -> Flow;
    /// Called before each system call that reads; false ends the reading there.
    fn more(&mut self) -> bool;
    /// What is left where `more` said so.
    fn cut(&mut self, rest: Scan);
}

/// How the reading of a directory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At its end, or at an error that was reported.
    Done,
    /// Where [`Contents::more`] or the stop of the walk said so.
    Cut,
    /// Whoever takes the entries wants no more.
    Quit,
}

/// A thread's means to read directories.
pub(crate) struct Reader<'r> {
    run: &'r Run,
    anchor: Arc<OpenDir>,
    buffer: Vec<MaybeUninit<u8>>,
    scratch: Scratch,
    pub(crate) tally: Summary,
}

/// Where an entry was found.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) dir: Arc<OpenDir>,
    rules: Rules,
    root_dev: u64,
}

impl Place {
    /// The reading of the directory `entry`, which was found here.
    pub(crate) fn job(&self, run: &Run, entry: &EntryRef<'_>) -> DirJob {
        let parent = &self.dir.node;
        let pinned = parent.is_anchor() && run.config.roots.len() <= run.fds.pinned_max();
        DirJob {
            parent: Arc::clone(&self.dir),
            node: Dir::child(parent, entry.name, entry.followed, pinned),
            root_dev: self.root_dev,
            rules: self.rules.clone(),
        }
    }
}

/// An open directory, at the place up to which it has been read.
pub(crate) struct Scan {
    fd: Arc<OwnedFd>,
    place: Place,
}

/// What an entry turned out to be.
struct Kind {
    file_type: FileType,
    ino: u64,
    followed: bool,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(run: &'r Run) -> Self {
        let anchor = OpenDir { node: Dir::anchor(), fds: Arc::clone(&run.fds) };
        Self {
            run,
            anchor: Arc::new(anchor),
            buffer: vec![MaybeUninit::uninit(); DIR_BUFFER],
            scratch: Scratch::default(),
            tally: Summary::default(),
        }
    }

    /// Delivers the root of this index, and as a subdirectory what is to be read of it.
    pub(crate) fn root(&mut self, index: usize, out: &mut impl Contents) -> End {
        let run = self.run;
        let Some(path) = run.config.roots.get(index) else { return End::Done };
        let name = path.as_os_str().as_bytes();
        let anchor = Arc::clone(&self.anchor);
        let (stat, followed) = match self.stat_root(name) {
            Ok(found) => found,
            Err(errno) => {
                let kind = WalkErrorKind::Open(errno.into());
                return end(out.error(WalkError::new(path.clone(), 0, kind)));
            }
        };
        let (root_dev, ino) = identity_of(&stat);
        let file_type = FileType::of(&stat);
        let mut rules = Rules::default();
        if run.config.gitignore && file_type.is_dir() {
            let mut errors = Vec::new();
            rules = Rules::above_root(run, &anchor, name, &mut errors);
            if report(errors, out) == Flow::Quit {
                return End::Quit;
            }
        }
        let place = Place { dir: anchor, rules, root_dev };
        let entry = EntryRef { dir: &place.dir, name, ino, file_type, followed };
        end(out.entry(entry, &place))
    }

    /// What the root is, and whether it is a link that is followed.
    fn stat_root(&self, name: &[u8]) -> Result<(rustix::fs::Stat, bool), Errno> {
        let fds = &self.run.fds;
        let stat = fds.stat_at(&self.anchor, name, false)?;
        if self.run.config.follow == Follow::Never || FileType::of(&stat) != FileType::Symlink {
            return Ok((stat, false));
        }
        match fds.stat_at(&self.anchor, name, true) {
            Ok(target) => Ok((target, true)),
            // It leads nowhere: the link itself is what there is.
            Err(Errno::NOENT) => Ok((stat, false)),
            Err(errno) => Err(errno),
        }
    }

    /// Reads the directory of `job`.
    pub(crate) fn read(&mut self, job: &DirJob, out: &mut impl Contents) -> End {
        let run = self.run;
        let mut errors = Vec::new();
        let (fd, rules) = match self.open(job, &mut errors) {
            Ok(Some(opened)) => opened,
            Ok(None) => return End::Done,
            Err(error) => return end(out.error(error)),
        };
        let dir = Arc::new(OpenDir { node: Arc::clone(&job.node), fds: Arc::clone(&run.fds) });
        {
            let mut slot = lock(&dir.node.slot);
            slot.user = Arc::downgrade(&dir);
            slot.fd = Some(Arc::clone(&fd));
        }
        if report(errors, out) == Flow::Quit {
            return End::Quit;
        }
        self.go_on(Scan { fd, place: Place { dir, rules, root_dev: job.root_dev } }, out)
    }

    /// Reads an open directory from where it is.
    pub(crate) fn go_on(&mut self, scan: Scan, out: &mut impl Contents) -> End {
        let fds = &self.run.fds;
        let reading = fds.reading();
        let place = &scan.place;
        place.rules.prepare(&place.dir.node, &mut self.scratch);
        let mut buffer = std::mem::take(&mut self.buffer);
        let end = self.scan(&scan.fd, &mut buffer, place, out);
        self.buffer = buffer;
        if end == End::Cut && !self.run.stopped() {
            out.cut(scan);
        } else {
            // Somebody is going to open something in it.
            if Arc::strong_count(&place.dir) > 1 {
                fds.keep(&place.dir);
            }
            // Closed, if nobody is, before those that wait for a descriptor are woken.
            drop(scan);
        }
        drop(reading);
        end
    }

    /// Opens a directory, if it is to be read at all, with the rules that hold in it.
    fn open(
        &mut self,
        job: &DirJob,
        errors: &mut Vec<WalkError>,
    ) -> Result<Option<(Arc<OwnedFd>, Rules)>, WalkError> {
        let (run, node) = (self.run, &job.node);
        if run.config.same_file_system {
            // Before it is opened: opening may mount something, or fail where nothing is to be read.
            let stat = run.fds.stat_at(&job.parent, node.name(), node.via_link);
            let stat = stat.map_err(|errno| WalkError::at(node, None, stat_failure(errno)))?;
            if identity_of(&stat).0 != job.root_dev {
                self.tally.skipped.other_file_system += 1;
                return Ok(None);
            }
        }
        let opened = run.fds.open_dir(&job.parent, node, |fd| {
            errors.clear();
            job.rules.enter(run, fd.as_fd(), node, errors)
        });
        let (fd, rules) = opened
            .map_err(|errno| WalkError::at(node, None, open_failure(errno, node.via_link)))?;
        let mut id = None;
        if run.config.follow == Follow::All {
            let stat = run.sys().fstat(&fd);
            let stat = stat.map_err(|errno| WalkError::at(node, None, stat_failure(errno)))?;
            id = Some(identity_of(&stat));
            if let Some(ancestor) = node.parent().zip(id).and_then(|(parent, id)| find(parent, id))
            {
                let ancestor = ancestor.path_of(None);
                return Err(WalkError::at(node, None, WalkErrorKind::Loop { ancestor }));
            }
        }
        // What was known of it before, when it was read in part, may be about another directory.
        {
            let mut slot = lock(&node.slot);
            (slot.id, slot.seal) = (id, None);
        }
        self.tally.dirs_read += 1;
        Ok(Some((Arc::new(fd), rules)))
    }

    fn scan(
        &mut self,
        fd: &OwnedFd,
        buffer: &mut [MaybeUninit<u8>],
        place: &Place,
        out: &mut impl Contents,
    ) -> End {
        let run = self.run;
        let mut entries = run.sys().entries(fd.as_fd(), buffer);
        loop {
            // At each entry: a visitor or a filter may take its time with every one.
            if run.stopped() || (entries.needs_read() && !out.more()) {
                return End::Cut;
            }
            let flow = match entries.next() {
                None => return End::Done,
                Some(Ok(raw)) => self.take(&raw, place, out),
                Some(Err(Errno::INTR)) => Flow::Continue,
                Some(Err(errno)) => {
                    let kind = match errno {
                        Errno::NOENT => WalkErrorKind::Vanished,
                        errno => WalkErrorKind::Read(errno.into()),
                    };
                    return end(out.error(WalkError::at(&place.dir.node, None, kind)));
                }
            };
            if flow == Flow::Quit {
                return End::Quit;
            }
        }
    }

    #[inline]
    fn take(&mut self, raw: &RawEntry<'_>, place: &Place, out: &mut impl Contents) -> Flow {
        let name = raw.name();
        if name[0] == b'.' {
            if name == b"." || name == b".." {
                return Flow::Continue;
            }
            if !self.run.config.hidden {
                self.tally.skipped.hidden += 1;
                return Flow::Continue;
            }
        }
        let kind = match self.kind(raw, &place.dir) {
            Ok(kind) => kind,
            Err(error) => return out.error(error),
        };
        if self.run.config.gitignore {
            let is_dir = kind.file_type.is_dir();
            if name == b".git" || place.rules.ignores(&mut self.scratch, name, is_dir) {
                self.tally.skipped.ignored += 1;
                return Flow::Continue;
            }
        }
        let Kind { file_type, ino, followed } = kind;
        out.entry(EntryRef { dir: &place.dir, name, ino, file_type, followed }, place)
    }

    #[inline]
    fn kind(&self, raw: &RawEntry<'_>, dir: &Arc<OpenDir>) -> Result<Kind, WalkError> {
        let mut file_type = FileType::from_raw(raw.file_type());
        if file_type == FileType::Unknown {
            let stat = self.run.fds.stat_at(dir, raw.name(), false);
            let stat =
                stat.map_err(|e| WalkError::at(&dir.node, Some(raw.name()), stat_failure(e)))?;
            file_type = FileType::of(&stat);
        }
        if file_type == FileType::Symlink && self.run.config.follow == Follow::All {
            return self.follow(raw, dir);
        }
        Ok(Kind { file_type, ino: raw.ino(), followed: false })
    }

    fn follow(&self, raw: &RawEntry<'_>, dir: &Arc<OpenDir>) -> Result<Kind, WalkError> {
        let fail = |kind| Err(WalkError::at(&dir.node, Some(raw.name()), kind));
        let stat = match self.run.fds.stat_at(dir, raw.name(), true) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                return Ok(Kind { file_type: FileType::Symlink, ino: raw.ino(), followed: false });
            }
            Err(errno) => return fail(stat_failure(errno)),
        };
        let (file_type, id) = (FileType::of(&stat), identity_of(&stat));
        if file_type.is_dir() {
            if let Some(ancestor) = find(&dir.node, id) {
                return fail(WalkErrorKind::Loop { ancestor: ancestor.path_of(None) });
            }
        }
        Ok(Kind { file_type, ino: id.1, followed: true })
    }
}

/// The ancestor of this identity, among `dir` and those above it.
fn find(dir: &Arc<Dir>, id: Identity) -> Option<&Arc<Dir>> {
    dir.chain().find(|dir| dir.identity() == Some(id))
}

fn report(errors: Vec<WalkError>, out: &mut impl Contents) -> Flow {
    for error in errors {
        if out.error(error) == Flow::Quit {
            return Flow::Quit;
        }
    }
    Flow::Continue
}

fn end(flow: Flow) -> End {
    if flow == Flow::Quit { End::Quit } else { End::Done }
}
