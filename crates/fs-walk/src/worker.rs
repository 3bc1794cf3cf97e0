//! One thread of a walk in any order: reads directories, newest first, and shares what it finds.
//! It keeps one for itself, so that a chain of directories stays on one thread.

use crate::entry::EntryRef;
use crate::error::WalkError;
use crate::job::Job;
use crate::reader::{Contents, End, Place, Reader, Scan};
use crate::run::Run;
use crate::selection::judge;
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
    /// Whether anything it was given has not been passed on yet.
    fn holds_back(&self) -> bool;
    /// Passes on what it holds back.
    fn flush(&mut self) -> Flow;
}

/// Starts one more thread, if there may be more.
pub(crate) trait Hire {
    fn hire(&self);
}

/// Works until nothing is left or the walk is stopped.
pub(crate) fn work(run: &Run, queue: &WorkQueue<Job>, sink: &mut impl Sink, team: &impl Hire) {
    let mut reader = Reader::new(run);
    let mut out = Direct::new(run, queue, sink, team);
    while !run.stopped() {
        let job = if let Some(job) = out.pop().or_else(|| queue.try_next()) {
            job
        } else {
            run.merge(&mut out.tally);
            run.merge(&mut reader.tally);
            // Nothing is held back while it is parked.
            if out.sink.flush() == Flow::Quit {
                run.stop();
                break;
            }
            match queue.next() {
                Some(job) => job,
                None => break,
            }
        };
        out.mark = None;
        let end = match job {
            Job::Root(index) => reader.root(index, &mut out),
            Job::Dir(job) => reader.read(&job, &mut out),
            Job::Rest(scan) => {
                run.fds.resumed();
                reader.go_on(scan, &mut out)
            }
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
    out.tally.waiting_max = queue.most_shared();
    run.merge(&mut out.tally);
    run.merge(&mut reader.tally);
}

/// Passes entries straight on to the sink and keeps subdirectories for later.
struct Direct<'a, S, T> {
    run: &'a Run,
    sink: &'a mut S,
    team: &'a T,
    queue: &'a WorkQueue<Job>,
    /// Directories whose entries have been passed on: any thread may deliver their contents.
    own: Vec<Job>,
    /// Newer ones that the sink may hold back: shared, their contents would come before them.
    fresh: Vec<Job>,
    tally: Summary,
    dirs: usize,
    /// Entries delivered since the last subdirectory was found.
    held: usize,
    /// How many jobs it had before the last system call that read, once there was one.
    mark: Option<usize>,
}

impl<'a, S: Sink, T: Hire> Direct<'a, S, T> {
    fn new(run: &'a Run, queue: &'a WorkQueue<Job>, sink: &'a mut S, team: &'a T) -> Self {
        let tally = Summary::default();
        let (own, fresh) = (Vec::new(), Vec::new());
        Self { run, sink, team, queue, own, fresh, tally, dirs: 0, held: 0, mark: None }
    }

    fn pop(&mut self) -> Option<Job> {
        self.fresh.pop().or_else(|| self.own.pop())
    }

    fn share(&mut self) {
        // Batches stay large as long as others find work without this.
        if self.queue.is_hungry() || self.queue.shared() == 0 {
            self.give(1);
        } else {
            self.queue.share(&mut self.own, usize::from(self.fresh.is_empty()));
        }
        if self.dirs >= DIRS_BEFORE_HELP && self.queue.shared() > 0 {
            self.team.hire();
        }
    }

    /// Shares all but the newest `keep`, and what the sink holds back goes first.
    fn give(&mut self, keep: usize) {
        if self.own.len() + self.fresh.len() <= keep {
            return;
        }
        // Refused, it is a matter of the next entry: the walk has been stopped.
        if !self.fresh.is_empty() && self.sink.flush() == Flow::Continue {
            self.own.append(&mut self.fresh);
        }
        self.queue.share(&mut self.own, keep.saturating_sub(self.fresh.len()));
    }

    /// A visitor may take its time: nobody is to wait for what this thread will do later. The
    /// last job goes only after some entries, lest a chain of directories changes hands at each.
    #[inline]
    fn give_to_hungry(&mut self) {
        if self.own.is_empty() && self.fresh.is_empty() {
            return;
        }
        self.held += 1;
        if self.queue.is_hungry() {
            self.give(usize::from(self.held < ENTRIES_BEFORE_LAST));
        }
    }
}

impl<S: Sink, T: Hire> Contents for Direct<'_, S, T> {
    #[inline]
    fn entry(&mut self, entry: EntryRef<'_>, place: &Place) -> Flow {
        let verdict = judge(&self.run.config, &entry, &mut self.tally.skipped);
        let mut flow = Flow::Continue;
        if verdict.deliver {
            self.give_to_hungry();
            self.tally.count(entry.file_type());
            flow = self.sink.entry(entry);
            if !self.fresh.is_empty() && !self.sink.holds_back() {
                self.own.append(&mut self.fresh);
            }
        }
        if verdict.descend && flow == Flow::Continue {
            self.held = 0;
            self.fresh.push(Job::Dir(place.job(self.run, &entry)));
        }
        flow
    }

    fn error(&mut self, error: WalkError) -> Flow {
        self.tally.errors += 1;
        self.sink.error(error)
    }

    fn more(&mut self) -> bool {
        let waiting = self.queue.shared() + self.own.len() + self.fresh.len();
        // Each time something is read, so that there is an end to it.
        let began = self.mark.is_some();
        if began && waiting > self.run.config.waiting_max && self.run.fds.may_pause() {
            return false;
        }
        self.share();
        self.mark = Some(self.own.len() + self.fresh.len());
        true
    }

    /// Puts it below what was found in it last: that is read first, and the rest after it.
    fn cut(&mut self, rest: Scan) {
        if self.sink.flush() == Flow::Continue {
            self.own.append(&mut self.fresh);
        }
        let at = self.mark.map_or(0, |mark| mark.min(self.own.len()));
        self.own.insert(at, Job::Rest(rest));
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
