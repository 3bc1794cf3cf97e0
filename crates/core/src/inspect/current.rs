//! Which work each thread runs right now.
//!
//! A thread that polls a child, or the body of a scope, writes its number to a place that others
//! may read. That is on a cache line of its own, which the thread has to itself, so a poll pays
//! no more than a few stores for it. The body of a scope is polled within the child that drives
//! it, so the places of a thread are a short stack.

use super::clock::Tick;
use crate::{
    Cause,
    panic::drop_quietly,
    sync::{
        thread_local,
        unmodelled::{AtomicU64, Mutex, Ordering, lock},
    },
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    marker::PhantomData,
    mem::ManuallyDrop,
    sync::{Arc, Weak},
};

/// Which work: the number of its scope, and its record there. Another piece of work may have
/// the number of one that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkId {
    scope: u64,
    record: u32,
}

impl WorkId {
    pub(crate) fn new(scope: u64, record: u32) -> Self {
        Self { scope, record }
    }

    /// The body of the scope of that number.
    pub(crate) fn body(scope: u64) -> Self {
        Self { scope, record: u32::MAX }
    }

    /// One of so many shards.
    #[expect(clippy::cast_possible_truncation, reason = "any of its bits will do")]
    pub(crate) fn shard(self, shards: usize) -> usize {
        self.scope.wrapping_add(self.record.into()) as usize % shards
    }
}

/// How deep a thread looks: a child, the body in it, and two more. What is deeper is not seen.
const DEPTH: usize = 4;

/// What one thread runs.
#[derive(Default)]
#[repr(align(128))]
struct Running([Frame; DEPTH]);

#[derive(Default)]
struct Frame {
    /// The number of the scope, from 1; 0, if nothing runs.
    scope: AtomicU64,
    /// The number of the record, and since when.
    record_since: AtomicU64,
}

static THREADS: Mutex<Vec<Weak<Running>>> = Mutex::new(Vec::new());

struct Thread {
    running: Arc<Running>,
    depth: Cell<usize>,
    /// Why a scope has failed that some of it has run, in this poll, by the depth of that work;
    /// and the last of these depths, or 0.
    left: RefCell<Vec<(usize, Cause)>>,
    left_at: Cell<usize>,
}

/// Why a scope failed in the poll that has ended, for the work that ran it: if that fails itself,
/// this is why. Dropping it may drop an error, whose destructor is foreign code.
#[derive(Debug, Default)]
pub(crate) struct Left(Option<Cause>);

impl Left {
    /// The cause of that work's own failure.
    pub(crate) fn led_to(&self, cause: Cause) -> Cause {
        match &self.0 {
            Some(parent) => cause.because_of(parent),
            None => cause,
        }
    }
}

impl Drop for Left {
    #[inline]
    fn drop(&mut self) {
        if let Some(cause) = self.0.take() {
            drop_quietly(cause);
        }
    }
}

thread_local! {
    static THREAD: Thread = Thread::register();
}

impl Thread {
    fn register() -> Self {
        let running = Arc::<Running>::default();
        let mut threads = lock(&THREADS);
        threads.retain(|thread| thread.strong_count() > 0);
        threads.push(Arc::downgrade(&running));
        let (left, left_at) = (RefCell::default(), Cell::new(0));
        Self { running, depth: Cell::new(0), left, left_at }
    }

    fn top(&self) -> Option<WorkId> {
        let frame = self.running.0.get(self.depth.get().checked_sub(1)?)?;
        frame.read().map(|(id, _)| id)
    }

    /// Leaves a cause to the innermost work. Gives back what is for nobody: one from before, or
    /// this one, if there is no work.
    fn leave(&self, cause: Option<Cause>) -> Left {
        let depth = self.depth.get();
        if depth == 0 {
            return Left(cause);
        }
        let former = self.take_left(depth);
        self.left.borrow_mut().extend(cause.map(|cause| (depth, cause)));
        self.left_at.set(depth);
        former
    }

    fn take_left(&self, depth: usize) -> Left {
        if self.left_at.get() != depth {
            return Left(None);
        }
        let mut left = self.left.borrow_mut();
        let cause = left.pop().map(|(_, cause)| cause);
        self.left_at.set(left.last().map_or(0, |(at, _)| *at));
        Left(cause)
    }
}

impl Frame {
    /// The scope comes last: a reader that finds it the same before and after has seen what
    /// belongs together.
    fn enter(&self, WorkId { scope, record }: WorkId, since: Tick) {
        let record_since = u64::from(record) << 32 | u64::from(since.to_bits());
        self.record_since.store(record_since, Ordering::Relaxed);
        self.scope.store(scope, Ordering::Release);
    }

    fn leave(&self) {
        self.scope.store(0, Ordering::Release);
    }

    fn read(&self) -> Option<(WorkId, Tick)> {
        let scope = self.scope.load(Ordering::Acquire);
        let record_since = self.record_since.load(Ordering::Acquire);
        if scope == 0 || self.scope.load(Ordering::Relaxed) != scope {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "two halves")]
        let (record, since) = ((record_since >> 32) as u32, record_since as u32);
        Some((WorkId { scope, record }, Tick::from_bits(since)))
    }
}

/// Says that the calling thread runs some work, until it is dropped there.
#[must_use = "the work runs until it is dropped"]
pub(crate) struct Run(PhantomData<*const ()>);

/// The calling thread runs `work` from now on, since `since`.
pub(crate) fn run(work: WorkId, since: Tick) -> Run {
    // A thread that ends has no places any more.
    let _ = THREAD.try_with(|thread| {
        let depth = thread.depth.get();
        if let Some(frame) = thread.running.0.get(depth) {
            frame.enter(work, since);
        }
        thread.depth.set(depth + 1);
    });
    Run(PhantomData)
}

/// A scope has failed in this poll of the work that the calling thread runs.
pub(crate) fn leave(cause: Cause) {
    let mut cause = Left(Some(cause));
    let surplus = THREAD.try_with(|thread| thread.leave(cause.0.take()));
    drop(surplus);
}

impl Run {
    /// Ends it, and tells what a scope has left to the work.
    pub(crate) fn end(self) -> Left {
        let _ = ManuallyDrop::new(self);
        Self::ended()
    }

    fn ended() -> Left {
        let left = THREAD.try_with(|thread| {
            let depth = thread.depth.get();
            let below = depth.saturating_sub(1);
            if let Some(frame) = thread.running.0.get(below) {
                frame.leave();
            }
            thread.depth.set(below);
            thread.take_left(depth)
        });
        left.unwrap_or_default()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(Self::ended());
    }
}

/// A number for the calling thread: that of no other thread that lives, as far as it goes.
#[cfg(not(tidegate_loom))]
pub(crate) fn thread() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "two threads may have the same")]
    let number = |thread: &Thread| (Arc::as_ptr(&thread.running).addr() >> 7) as u32;
    THREAD.try_with(number).unwrap_or_default()
}

/// The threads of a model are one: each call is as if from a thread of its own.
#[cfg(tidegate_loom)]
pub(crate) fn thread() -> u32 {
    static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

/// Whether the calling thread runs any work, also deeper than it looks.
pub(crate) fn is_running() -> bool {
    THREAD.try_with(|thread| thread.depth.get() > 0).unwrap_or(false)
}

/// The work that the calling thread runs, the innermost.
pub(crate) fn work() -> Option<WorkId> {
    THREAD.try_with(Thread::top).ok().flatten()
}

/// All work that runs now, and since when.
pub(crate) fn running() -> HashMap<WorkId, Tick> {
    let threads: Vec<_> = lock(&THREADS).iter().filter_map(Weak::upgrade).collect();
    let frames = threads.iter().flat_map(|thread| &thread.0);
    frames.filter_map(Frame::read).collect()
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    const OUTER: WorkId = WorkId { scope: 1 << 40, record: 7 };
    const INNER: WorkId = WorkId { scope: (1 << 40) + 1, record: u32::MAX };

    #[test]
    fn a_thread_tells_what_it_runs_and_what_in_it() {
        assert_eq!(work(), None);
        let outer = run(OUTER, Tick::UNKNOWN);
        let inner = run(INNER, Tick::from_bits(9));
        assert_eq!(work(), Some(INNER));
        assert_eq!(running()[&OUTER], Tick::UNKNOWN);
        assert_eq!(running()[&INNER], Tick::from_bits(9));
        drop(inner);
        assert_eq!(work(), Some(OUTER));
        drop(outer);
        assert_eq!(work(), None);
        assert!(!running().contains_key(&OUTER));
    }

    #[test]
    fn what_a_scope_leaves_is_for_the_work_that_ran_it() {
        let says = |left: &Left| {
            let parent = left.led_to(Cause::explicit("it failed")).parent().cloned();
            parent.map(|parent| parent.message().unwrap().to_owned())
        };
        leave(Cause::explicit("nobody runs it"));
        let outer = run(OUTER, Tick::UNKNOWN);
        leave(Cause::explicit("first"));
        leave(Cause::explicit("last"));
        let inner = run(INNER, Tick::UNKNOWN);
        assert_eq!(says(&inner.end()), None);
        let inner = run(INNER, Tick::UNKNOWN);
        leave(Cause::explicit("inner"));
        drop(inner);
        assert_eq!(says(&outer.end()).as_deref(), Some("last"));
        assert_eq!(says(&run(OUTER, Tick::UNKNOWN).end()), None, "another poll");
    }

    #[test]
    fn deeper_than_it_looks_nothing_goes_wrong() {
        fn nest(depth: u32) {
            let _run = run(WorkId::new(1 << 41, depth), Tick::UNKNOWN);
            if depth > 0 {
                nest(depth - 1);
            }
        }
        nest(10);
        assert_eq!(work(), None);
    }

    #[test]
    fn a_thread_that_ended_is_forgotten() {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                std::mem::forget(run(OUTER, Tick::UNKNOWN));
                assert!(running().contains_key(&OUTER));
            });
            // The end of the scope alone does not wait for the thread's own destructors.
            thread.join().unwrap();
        });
        assert!(!running().contains_key(&OUTER));
    }
}
