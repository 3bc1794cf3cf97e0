//! Which worker does what next, and when nothing is left: the termination protocol.
//!
//! | event | state | effect |
//! |---|---|---|
//! | `register` | not ended | one more worker that may produce jobs |
//! | `next`, a job is shared | any | the worker takes it |
//! | `next`, none is shared, others work | not ended | the worker counts as idle and parks |
//! | `next`, none is shared, all are idle | not ended | ended: every worker is woken and gets `None` |
//! | `share` | not ended | a worker's own jobs become shared, parked workers are woken |
//! | `unregister` by a worker that did not get `None` | all others idle | ended, likewise |
//! | `stop` | any | ended, shared jobs are handed back |
//!
//! A worker holds its own jobs outside of the queue. It is not idle while it has any, so the end
//! is reached only when no job exists anywhere.

use std::sync::PoisonError;

use tidegate_core::sync::{
    Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::lock;

#[derive(Debug)]
pub(crate) struct WorkQueue<J> {
    state: Mutex<State<J>>,
    ready: Condvar,
    /// Parked workers that no shared job waits for: a hint, read without the lock.
    hungry: AtomicUsize,
    /// Shared jobs: likewise.
    shared: AtomicUsize,
}

#[derive(Debug)]
struct State<J> {
    /// The newest last; taken from the end, so that the walk stays deep and narrow.
    jobs: Vec<J>,
    workers: usize,
    idle: usize,
    ended: bool,
    /// Jobs there have been at one time.
    most: usize,
}

impl<J> WorkQueue<J> {
    pub(crate) fn new(jobs: Vec<J>) -> Self {
        let state = State { jobs, workers: 0, idle: 0, ended: false, most: 0 };
        Self {
            shared: AtomicUsize::new(state.jobs.len()),
            state: Mutex::new(state),
            ready: Condvar::new(),
            hungry: AtomicUsize::new(0),
        }
    }

    /// Adds a worker, before its thread exists; false if the work has ended.
    pub(crate) fn register(&self) -> bool {
        let mut state = lock(&self.state);
        if !state.ended {
            state.workers += 1;
        }
        !state.ended
    }

    /// Removes a worker that is not going to call `next` any more, whatever the reason.
    pub(crate) fn unregister(&self) {
        let mut state = lock(&self.state);
        state.workers -= 1;
        if state.workers > 0 && state.idle == state.workers && state.jobs.is_empty() {
            state.ended = true;
        }
        if state.ended {
            self.ready.notify_all();
        }
    }

    /// The next job for a worker that has none, if one is shared.
    pub(crate) fn try_next(&self) -> Option<J> {
        let mut state = lock(&self.state);
        let job = if state.ended { None } else { state.jobs.pop() };
        self.update_hint(&state);
        job
    }

    /// The next job for a worker that has none, parking until there is one; `None` at the end.
    pub(crate) fn next(&self) -> Option<J> {
        let mut state = lock(&self.state);
        loop {
            if state.ended {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                self.update_hint(&state);
                return Some(job);
            }
            if state.idle + 1 == state.workers {
                state.ended = true;
                self.ready.notify_all();
                return None;
            }
            state.idle += 1;
            self.update_hint(&state);
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Whether sharing jobs would give a parked worker something to do.
    #[inline]
    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) > 0
    }

    /// How many jobs wait for any worker.
    #[inline]
    pub(crate) fn shared(&self) -> usize {
        self.shared.load(Ordering::Relaxed)
    }

    /// How many have done so at most.
    pub(crate) fn most_shared(&self) -> u64 {
        lock(&self.state).most as u64
    }

    /// Shares all of `own` but the newest `keep`: what is shared does not wait for its finder.
    pub(crate) fn share(&self, own: &mut Vec<J>, keep: usize) {
        let shared = own.len().saturating_sub(keep);
        if shared == 0 {
            return;
        }
        let mut state = lock(&self.state);
        if state.ended {
            return;
        }
        state.jobs.extend(own.drain(..shared));
        state.most = state.most.max(state.jobs.len());
        self.update_hint(&state);
        match state.idle.min(shared) {
            0 => {}
            1 => self.ready.notify_one(),
            _ => self.ready.notify_all(),
        }
    }

    /// Ends the work now; hands back the shared jobs, to be dropped outside of the lock.
    #[must_use]
    pub(crate) fn stop(&self) -> Vec<J> {
        let mut state = lock(&self.state);
        state.ended = true;
        self.ready.notify_all();
        std::mem::take(&mut state.jobs)
    }

    fn update_hint(&self, state: &State<J>) {
        self.hungry.store(state.idle.saturating_sub(state.jobs.len()), Ordering::Relaxed);
        self.shared.store(state.jobs.len(), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_newest_first_and_the_last_idle_worker_ends_it() {
        let queue = WorkQueue::new(vec![1, 2, 3]);
        assert!(queue.register());
        assert_eq!(queue.next(), Some(3));
        let mut own = vec![10, 11, 12];
        queue.share(&mut own, 1);
        assert_eq!(own, [12]);
        let next = [(); 4].map(|()| queue.next());
        assert_eq!(next, [Some(11), Some(10), Some(2), Some(1)]);
        assert_eq!(queue.next(), None);
        assert!(!queue.register(), "it has ended");
    }

    #[test]
    fn stop_hands_back_what_was_shared() {
        let queue = WorkQueue::new(vec![1, 2]);
        assert!(queue.register());
        assert_eq!(queue.stop(), [1, 2]);
        assert_eq!(queue.next(), None);
    }
}

#[cfg(all(test, tidegate_loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use tidegate_core::sync::{Arc, atomic::AtomicUsize};

    /// A job `n` has `n` children `n - 1` each: every worker does what `walk` does.
    fn work(queue: &WorkQueue<usize>, done: &AtomicUsize) {
        let mut own = Vec::new();
        while let Some(job) = own.pop().or_else(|| queue.next()) {
            done.fetch_add(1, Ordering::Relaxed);
            own.extend(std::iter::repeat_n(job.saturating_sub(1), job));
            queue.share(&mut own, if queue.is_hungry() { 0 } else { 1 });
        }
        queue.unregister();
    }

    #[test]
    fn loom_two_workers_do_every_job_once_and_both_end() {
        loom::model(|| {
            let queue = Arc::new(WorkQueue::new(vec![2]));
            let done = Arc::new(AtomicUsize::new(0));
            assert!(queue.register() && queue.register());
            let other = {
                let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
                thread::spawn(move || work(&queue, &done))
            };
            work(&queue, &done);
            other.join().expect("no panic");
            // 2 -> two of 1 -> one of 0 each.
            assert_eq!(done.load(Ordering::Relaxed), 5);
        });
    }

    #[test]
    fn loom_a_worker_that_dies_lets_the_others_end() {
        loom::model(|| {
            let queue = Arc::new(WorkQueue::new(vec![0]));
            assert!(queue.register() && queue.register());
            let other = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.unregister())
            };
            let done = AtomicUsize::new(0);
            work(&queue, &done);
            other.join().expect("no panic");
            assert_eq!(done.load(Ordering::Relaxed), 1);
        });
    }

    /// A worker hired just before the end finds nothing, or is not taken on.
    #[test]
    fn loom_a_worker_hired_at_the_end_ends_too() {
        loom::model(|| {
            let queue = Arc::new(WorkQueue::new(vec![1]));
            let done = Arc::new(AtomicUsize::new(0));
            assert!(queue.register());
            let hired = {
                let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
                thread::spawn(move || {
                    if queue.register() {
                        work(&queue, &done);
                    }
                })
            };
            work(&queue, &done);
            hired.join().expect("no panic");
            assert_eq!(done.load(Ordering::Relaxed), 2);
            assert!(!queue.register(), "it has ended");
        });
    }

    #[test]
    fn loom_stop_wakes_whoever_is_parked() {
        loom::model(|| {
            let queue = Arc::new(WorkQueue::<usize>::new(Vec::new()));
            // A third worker that never asks keeps the others from ending by themselves.
            assert!(queue.register() && queue.register() && queue.register());
            let parked = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || assert_eq!(queue.next(), None))
            };
            drop(queue.stop());
            assert_eq!(queue.next(), None);
            parked.join().expect("no panic");
        });
    }
}
