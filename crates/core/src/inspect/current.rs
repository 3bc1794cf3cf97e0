//! Which work each thread runs right now.
//!
//! A thread that polls a child, or the body of a scope, writes its number to a place that others
//! may read. That is on a cache line of its own, which the thread has to itself, so a poll pays
//! no more than a few stores for it. The body of a scope is polled within the child that drives
//! it, so the places of a thread are a short stack.

use super::clock::Tick;
use crate::sync::{
    thread_local,
    unmodelled::{AtomicU64, Mutex, Ordering, lock},
};
use std::{
    cell::Cell,
    collections::HashMap,
    marker::PhantomData,
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
        Self { running, depth: Cell::new(0) }
    }

    fn top(&self) -> Option<WorkId> {
        let frame = self.running.0.get(self.depth.get().checked_sub(1)?)?;
        frame.read().map(|(id, _)| id)
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

impl Drop for Run {
    fn drop(&mut self) {
        let _ = THREAD.try_with(|thread| {
            let depth = thread.depth.get().saturating_sub(1);
            if let Some(frame) = thread.running.0.get(depth) {
                frame.leave();
            }
            thread.depth.set(depth);
        });
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

/// The work that the calling thread runs, the innermost.
pub(crate) fn work() -> Option<WorkId> {
    THREAD.try_with(Thread::top).ok().flatten()
}

/// Whether the calling thread runs `work`, or what is in it.
pub(crate) fn is_in(work: WorkId) -> bool {
    let is_in = |thread: &Thread| {
        let frames = thread.running.0.iter().take(thread.depth.get());
        frames.filter_map(Frame::read).any(|(id, _)| id == work)
    };
    THREAD.try_with(is_in).unwrap_or(false)
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
        assert!(is_in(OUTER) && is_in(INNER));
        assert_eq!(running()[&OUTER], Tick::UNKNOWN);
        assert_eq!(running()[&INNER], Tick::from_bits(9));
        drop(inner);
        assert_eq!(work(), Some(OUTER));
        assert!(!is_in(INNER));
        drop(outer);
        assert_eq!(work(), None);
        assert!(!running().contains_key(&OUTER));
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
