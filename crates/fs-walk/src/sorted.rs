//! A walk in sorted order: one thread emits, others read ahead of it.

use std::cmp::Ordering;

use tidegate_core::sync::Arc;

use crate::dir::OpenDir;
use crate::entry::{EntryRef, FileType};
use crate::error::WalkError;
use crate::job::DirJob;
use crate::name::Name;
use crate::reader::{Contents, End, Reader};
use crate::run::Run;
use crate::state::read_ahead::{Advice, Key, ReadAhead, Taken};
use crate::summary::Summary;
use crate::visit::Flow;
use crate::worker::{DIRS_BEFORE_HELP, DIRS_PER_MERGE, Hire, Sink};

pub(crate) type Ahead = ReadAhead<DirJob, Listing>;

/// The contents of one directory, in order.
#[derive(Default)]
pub(crate) struct Listing {
    dir: Option<Arc<OpenDir>>,
    lines: Vec<Line>,
}

struct Line {
    /// Empty for an error about the directory itself, which comes first.
    name: Name,
    what: What,
}

enum What {
    Entry { ino: u64, file_type: FileType, followed: bool, deliver: bool, child: Child },
    Error(WalkError),
}

/// The contents of an entry that is a directory.
enum Child {
    None,
    Job(Box<DirJob>),
    Key(Key),
}

impl Line {
    fn is_dir(&self) -> bool {
        matches!(self.what, What::Entry { file_type: FileType::Dir, .. })
    }

    /// As whole paths compare: a directory is its name with a slash.
    fn order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.name.as_bytes(), other.name.as_bytes());
        let common = a.len().min(b.len());
        let next = |name: &[u8], line: &Self| {
            name.get(common).copied().or_else(|| line.is_dir().then_some(b'/'))
        };
        a[..common].cmp(&b[..common]).then_with(|| next(a, self).cmp(&next(b, other)))
    }
}

/// Collects one directory.
#[derive(Default)]
struct Collect<'a> {
    listing: Listing,
    /// Depth of the entries of the directory.
    depth: usize,
    /// The place it is read for, if that is ahead of the emitter.
    place: Option<(&'a Ahead, Key)>,
    counted: usize,
}

impl<'a> Collect<'a> {
    fn of(job: &DirJob, place: Option<(&'a Ahead, Key)>) -> Self {
        Self { depth: job.node.child_depth, place, ..Self::default() }
    }

    /// Counts what is new against the window; false to give up.
    fn count(&mut self, total: usize) -> bool {
        let Some((ahead, key)) = self.place else { return true };
        let more = total - self.counted;
        self.counted = total;
        ahead.progress(key, more, total) == Advice::Go
    }

    /// Sorts, and registers the subdirectories.
    fn finish(self, ahead: &Ahead) -> Listing {
        let mut listing = self.listing;
        listing.lines.sort_unstable_by(Line::order);
        let mut jobs = Vec::new();
        let mut places = Vec::new();
        for (index, line) in listing.lines.iter_mut().enumerate() {
            if let What::Entry { child, .. } = &mut line.what {
                if let Child::Job(job) = std::mem::replace(child, Child::None) {
                    jobs.push(*job);
                    places.push(index);
                }
            }
        }
        if jobs.is_empty() {
            return listing;
        }
        let parent = self.place.map(|(_, key)| key);
        for (key, index) in ahead.add(parent, jobs).into_iter().zip(places) {
            if let What::Entry { child, .. } = &mut listing.lines[index].what {
                *child = Child::Key(key);
            }
        }
        listing
    }
}

impl Contents for Collect<'_> {
    fn entry(&mut self, entry: EntryRef<'_>) -> Flow {
        let EntryRef { dir, name, ino, file_type, followed } = entry;
        self.listing.dir.get_or_insert_with(|| Arc::clone(dir));
        let what = What::Entry { ino, file_type, followed, deliver: true, child: Child::None };
        self.listing.lines.push(Line { name: Name::new(name), what });
        Flow::Continue
    }

    fn error(&mut self, error: WalkError) -> Flow {
        use std::os::unix::ffi::OsStrExt;
        // An error about an entry stands where the entry would; one about the directory itself,
        // which is one level up, comes first.
        let name = error.path().file_name().filter(|_| error.depth() >= self.depth);
        let name = Name::new(name.map_or(&[], |name| name.as_bytes()));
        self.listing.lines.push(Line { name, what: What::Error(error) });
        Flow::Continue
    }

    fn subdir(&mut self, job: DirJob) {
        let job_name = job.node.name();
        if let Some(Line { name, what: What::Entry { child: child @ Child::None, .. } }) =
            self.listing.lines.last_mut()
        {
            if name.as_bytes() == job_name {
                *child = Child::Job(Box::new(job));
                return;
            }
        }
        // Not delivered itself, but what is below it is.
        self.listing.dir.get_or_insert_with(|| Arc::clone(&job.parent));
        let name = Name::new(job_name);
        let what = What::Entry {
            ino: 0,
            file_type: FileType::Dir,
            followed: false,
            deliver: false,
            child: Child::Job(Box::new(job)),
        };
        self.listing.lines.push(Line { name, what });
    }

    fn more(&mut self) -> bool {
        self.count(self.listing.lines.len())
    }
}

/// A thread that reads ahead, until the walk ends.
pub(crate) fn read_ahead(run: &Run, ahead: &Ahead) {
    let mut reader = Reader::new(run);
    while let Some((key, job)) = ahead.next() {
        if run.stopped() {
            break;
        }
        read_place(ahead, &mut reader, key, job);
        run.merge(&mut reader.tally);
    }
}

/// Reads one directory ahead of the emitter, unless the window fills up.
fn read_place(ahead: &Ahead, reader: &mut Reader<'_>, key: Key, job: DirJob) {
    let before = reader.tally;
    let mut collect = Collect::of(&job, Some((ahead, key)));
    let end = reader.read(&job, &mut collect);
    let weight = collect.listing.lines.len() + 1;
    if end == End::Cut || !collect.count(weight) {
        // The emitter reads it once more, and counts then.
        reader.tally = before;
        drop(collect);
        drop(ahead.leave(key, job));
        return;
    }
    drop(job);
    if let Some(unwanted) = ahead.complete(key, collect.finish(ahead), weight) {
        discard(ahead, unwanted);
    }
}

/// Gives up the places of a listing and of all that are below them.
fn discard(ahead: &Ahead, listing: Listing) {
    let mut below = vec![listing];
    while let Some(listing) = below.pop() {
        for line in listing.lines {
            if let What::Entry { child: Child::Key(key), .. } = line.what {
                below.extend(ahead.discard(key).0);
            }
        }
    }
}

/// Emits every root and what is below it, in order.
pub(crate) fn emit(run: &Run, ahead: &Ahead, sink: &mut impl Sink, readers: &impl Hire) {
    let mut emitter = Emitter {
        run,
        ahead,
        sink,
        readers,
        reader: Reader::new(run),
        tally: Summary::default(),
        dirs: 0,
        path: Vec::new(),
    };
    for index in 0..run.config.roots.len() {
        if run.stopped() {
            break;
        }
        let mut root = Collect::default();
        emitter.reader.root(index, &mut root);
        let listing = root.finish(ahead);
        emitter.enter(listing);
        if emitter.emit_all() == Flow::Quit {
            run.stop();
        }
    }
    let _ = emitter.sink.flush();
    run.merge(&mut emitter.tally);
    run.merge(&mut emitter.reader.tally);
}

struct Emitter<'a, S, H> {
    run: &'a Run,
    ahead: &'a Ahead,
    sink: &'a mut S,
    readers: &'a H,
    reader: Reader<'a>,
    tally: Summary,
    /// Directories entered.
    dirs: usize,
    /// What is left of the directories on the way to the current entry.
    path: Vec<(Option<Arc<OpenDir>>, std::vec::IntoIter<Line>)>,
}

impl<S: Sink, H: Hire> Emitter<'_, S, H> {
    fn enter(&mut self, listing: Listing) {
        self.path.push((listing.dir, listing.lines.into_iter()));
    }

    fn emit_all(&mut self) -> Flow {
        while let Some((dir, lines)) = self.path.last_mut() {
            if self.run.stopped() {
                return Flow::Quit;
            }
            let Some(line) = lines.next() else {
                self.path.pop();
                continue;
            };
            let (flow, child) = match line.what {
                What::Error(error) => {
                    self.tally.errors += 1;
                    (self.sink.error(error), Child::None)
                }
                What::Entry { deliver: false, child, .. } => (Flow::Continue, child),
                What::Entry { ino, file_type, followed, child, .. } => {
                    let Some(dir) = dir.as_ref() else { continue };
                    let name = line.name.as_bytes();
                    self.tally.count(file_type);
                    let entry = EntryRef { dir, name, ino, file_type, followed };
                    (self.sink.entry(entry), child)
                }
            };
            // Nothing of it is left: its descriptor need not stay open for this.
            if lines.as_slice().is_empty() {
                self.path.pop();
            }
            let quit = match (flow, child) {
                (Flow::Quit, _) => {
                    self.tally.quit = true;
                    true
                }
                (Flow::Continue, Child::Key(key)) => self.descend(key) == Flow::Quit,
                (Flow::Skip, Child::Key(key)) => {
                    if let Some(unwanted) = self.ahead.discard(key).0 {
                        discard(self.ahead, unwanted);
                    }
                    false
                }
                _ => false,
            };
            if quit {
                return Flow::Quit;
            }
        }
        Flow::Continue
    }

    /// Enters a directory, reading it here if no one else has begun to.
    fn descend(&mut self, key: Key) -> Flow {
        while self.ahead.is_being_read(key) {
            let Some((key, job)) = self.ahead.help() else {
                if self.sink.flush() == Flow::Quit {
                    return Flow::Quit;
                }
                break;
            };
            read_place(self.ahead, &mut self.reader, key, job);
        }
        let listing = match self.ahead.take(key) {
            Taken::Listing(listing) => listing,
            Taken::Stopped => return Flow::Quit,
            Taken::Job(job) => {
                let mut collect = Collect::of(&job, None);
                if self.reader.read(&job, &mut collect) == End::Cut {
                    return Flow::Quit;
                }
                drop(job);
                collect.finish(self.ahead)
            }
        };
        self.enter(listing);
        self.dirs += 1;
        if self.dirs >= DIRS_BEFORE_HELP && self.ahead.readable() > 1 {
            self.readers.hire();
        }
        if self.dirs % DIRS_PER_MERGE == 0 {
            self.run.merge(&mut self.tally);
            self.run.merge(&mut self.reader.tally);
        }
        Flow::Continue
    }
}
