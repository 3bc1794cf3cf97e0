//! One thread of a walk in any order: reads directories, newest first, and shares what it finds.
//! It keeps one for itself, so that a chain of directories stays on one thread.

use crate::entry::EntryRef;
use crate::error::WalkError;
use crate::job::{DirJob, Job};
use crate::reader::{Contents, End, Reader};
use crate::run::Run;
use crate::state::queue::WorkQueue;
use crate::summary::Summary;
use crate::visit::Flow;

/// Directories a thread reads before it asks for help: starting a thread costs as much as these.
pub(crate) const DIRS_BEFORE_HELP: usize = 8;
/// Entries a thread delivers before it gives its last job to a thread that has none.
const ENTRIES_BEFORE_LAST: usize = 8;
/// How often a thread's counts become visible to others, in directories.
pub(crate) const DIRS_PER_MERGE: usize = 64;

/// Takes what one thread delivers.
pub(crate) trait Sink {
    fn entry(&mut self, entry: EntryRef<'_>) -> Flow;
    fn error(&mut self, error: WalkError) -> Flow;
    /// The thread is about to park: what it holds back is to be passed on.
    fn idle(&mut self) -> Flow;
}

/// Starts one more thread, if there may be more.
pub(crate) trait Hire {
    fn hire(&self);
}

/// Works until nothing is left or the walk is stopped.
pub(crate) fn work(run: &Run, queue: &WorkQueue<Job>, sink: &mut impl Sink, team: &impl Hire) {
    let mut reader = Reader::new(run);
    let mut out =
        Direct { sink, team, queue, own: Vec::new(), tally: Summary::default(), dirs: 0, held: 0 };
    while !run.stopped() {
        let job = if let Some(job) = out.own.pop().or_else(|| queue.try_next()) {
            job
        } else {
            run.merge(&mut out.tally);
            run.merge(&mut reader.tally);
            // What it holds back is passed on before it parks.
            if out.sink.idle() == Flow::Quit {
                run.stop();
                break;
            }
            match queue.next() {
                Some(job) => job,
                None => break,
            }
        };
        let end = match job {
            Job::Root(index) => reader.root(index, &mut out),
            Job::Dir(job) => reader.read(&job, &mut out),
        };
        if end == End::Quit {
            out.tally.quit = true;
            run.stop();
        }
        out.dirs += 1;
        out.share();
        if out.dirs % DIRS_PER_MERGE == 0 {
            run.merge(&mut out.tally);
            run.merge(&mut reader.tally);
        }
    }
    run.merge(&mut out.tally);
    run.merge(&mut reader.tally);
}

/// Passes entries straight on to the sink and keeps subdirectories for later.
struct Direct<'a, S, T> {
    sink: &'a mut S,
    team: &'a T,
    queue: &'a WorkQueue<Job>,
    own: Vec<Job>,
    tally: Summary,
    dirs: usize,
    /// Entries delivered since the last subdirectory was found.
    held: usize,
}

impl<S: Sink, T: Hire> Direct<'_, S, T> {
    fn share(&mut self) {
        if self.own.len() > 1 {
            self.queue.share(&mut self.own, 1);
        }
        if self.dirs >= DIRS_BEFORE_HELP && self.queue.has_shared() {
            self.team.hire();
        }
    }
}

impl<S: Sink, T: Hire> Direct<'_, S, T> {
    /// A visitor may take its time: nobody is to wait for what this thread will do later. The
    /// last job goes only after some entries, lest a chain of directories changes hands at each.
    #[inline]
    fn share_with_hungry(&mut self) {
        if self.own.is_empty() {
            return;
        }
        self.held += 1;
        let keep = usize::from(self.held < ENTRIES_BEFORE_LAST);
        if self.own.len() > keep && self.queue.is_hungry() {
            self.queue.share(&mut self.own, keep);
        }
    }
}

impl<S: Sink, T: Hire> Contents for Direct<'_, S, T> {
    #[inline]
    fn entry(&mut self, entry: EntryRef<'_>) -> Flow {
        self.share_with_hungry();
        self.tally.count(entry.file_type());
        self.sink.entry(entry)
    }

    fn error(&mut self, error: WalkError) -> Flow {
        self.tally.errors += 1;
        self.sink.error(error)
    }

    fn subdir(&mut self, job: DirJob) {
        self.held = 0;
        self.own.push(Job::Dir(job));
    }

    fn more(&mut self) -> bool {
        self.share();
        true
    }
}
