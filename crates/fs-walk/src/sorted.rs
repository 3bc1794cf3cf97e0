//! A walk in sorted order: one thread emits, others read ahead of it.

use std::cmp::Ordering;

use tidegate_core::sync::Arc;

use crate::dir::OpenDir;
use crate::entry::{EntryRef, FileType};
use crate::error::WalkError;
use crate::job::DirJob;
use crate::name::Name;
use crate::reader::{Contents, End, Place, Reader, Scan};
use crate::run::Run;
use crate::selection::judge;
use crate::state::read_ahead::{Advice, Key, ReadAhead, Taken};
use crate::summary::{Skipped, Summary};
use crate::visit::Flow;
use crate::worker::{DIRS_BEFORE_HELP, DIRS_PER_MERGE, Hire, Sink};

pub(crate) type Ahead = ReadAhead<DirJob, Listing>;

/// The contents of one directory, in order.
#[derive(Default)]
pub(crate) struct Listing {
    place: Option<Place>,
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
    /// It is about to get its place.
    Job,
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
    ahead: Option<(&'a Ahead, Key)>,
    counted: usize,
}

impl<'a> Collect<'a> {
    fn of(job: &DirJob, ahead: Option<(&'a Ahead, Key)>) -> Self {
        Self { depth: job.node.child_depth, ahead, ..Self::default() }
    }

    /// Counts what is new against the window; false to give up.
    fn count(&mut self, total: usize) -> bool {
        let Some((ahead, key)) = self.ahead else { return true };
        let more = total - self.counted;
        self.counted = total;
        ahead.progress(key, more, total) == Advice::Go
    }

    /// Sorts, asks the filter, and registers the subdirectories. The filter comes last, since a
    /// listing that was given up is read once more.
    fn finish(self, run: &Run, ahead: &Ahead, skipped: &mut Skipped) -> Listing {
        let parent = self.ahead.map(|(_, key)| key);
        let Listing { place, mut lines } = self.listing;
        lines.sort_unstable_by(Line::order);
        let Some(place) = place else { return Listing { place, lines } };
        let mut jobs = Vec::new();
        lines.retain_mut(|line| {
            let name = line.name.as_bytes();
            let What::Entry { ino, file_type, followed, deliver, child } = &mut line.what else {
                return true;
            };
            // After a stop nothing of it is delivered.
            if run.stopped() {
                return false;
            }
            let (ino, file_type, followed) = (*ino, *file_type, *followed);
            let entry = EntryRef { dir: &place.dir, name, ino, file_type, followed };
            let verdict = judge(&run.config, &entry, skipped);
            *deliver = verdict.deliver;
            if verdict.descend {
                *child = Child::Job;
                jobs.push(place.job(run, &entry));
            }
            verdict.deliver || verdict.descend
        });
        if !jobs.is_empty() {
            let mut keys = ahead.add(parent, jobs).into_iter();
            for line in &mut lines {
                if let What::Entry { child: child @ Child::Job, .. } = &mut line.what {
                    *child = keys.next().map_or(Child::None, Child::Key);
                }
            }
        }
        Listing { place: Some(place), lines }
    }
}

impl Contents for Collect<'_> {
    fn entry(&mut self, entry: EntryRef<'_>, place: &Place) -> Flow {
        let EntryRef { name, ino, file_type, followed, .. } = entry;
        self.listing.place.get_or_insert_with(|| place.clone());
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

    fn more(&mut self) -> bool {
        self.count(self.listing.lines.len())
    }

    /// A listing is of use only whole.
    fn cut(&mut self, rest: Scan) {
        drop(rest);
    }
}

/// A thread that reads ahead, until the walk ends.
pub(crate) fn read_ahead(run: &Run, ahead: &Ahead) {
    let mut reader = Reader::new(run);
    while let Some((key, job)) = ahead.next() {
        if run.stopped() {
            break;
        }
        read_place(run, ahead, &mut reader, key, job);
        run.merge(&mut reader.tally);
    }
}

/// Reads one directory ahead of the emitter, unless the window fills up.
fn read_place(run: &Run, ahead: &Ahead, reader: &mut Reader<'_>, key: Key, job: DirJob) {
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
    let listing = collect.finish(run, ahead, &mut reader.tally.skipped);
    if let Some(unwanted) = ahead.complete(key, listing, weight) {
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
        let listing = root.finish(run, ahead, &mut emitter.tally.skipped);
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
        let dir = listing.place.map(|place| place.dir);
        self.path.push((dir, listing.lines.into_iter()));
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
            read_place(self.run, self.ahead, &mut self.reader, key, job);
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
                collect.finish(self.run, self.ahead, &mut self.tally.skipped)
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
