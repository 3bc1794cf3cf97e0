//! A thread that looks whether bubbles make progress, in real time: one for all of the process,
//! as a bubble takes less time than the start of a thread.

use super::shared::Shared;
use crate::clock;
use std::{
    io::{self, Write as _},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread::{self, Builder, Thread},
    time::{Duration, Instant},
};

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);

/// The most that counts between two looks: a process that was stopped, by a debugger for instance, has
/// not run meanwhile.
const LONGEST: Duration = Duration::from_millis(200);

/// It ends when there was no bubble for so many looks.
const IDLE_TICKS: usize = 50;

static WATCHED: Mutex<Watched> = Mutex::new(Watched { bubbles: Vec::new(), has_thread: false });

struct Watched {
    bubbles: Vec<Entry>,
    has_thread: bool,
}

/// What is known of one bubble.
struct Entry {
    shared: Arc<Shared>,
    /// The thread of the test, which is named after it.
    test: Thread,
    patience: Duration,
    /// How long it has made no more progress than that, and until when.
    progress: u64,
    idle: Duration,
    looked: Instant,
}

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at a bubble until it is dropped.
pub(super) struct Watchdog(Arc<Shared>);

impl Watchdog {
    pub(super) fn start(shared: &Arc<Shared>, patience: Duration) -> Self {
        let (test, looked) = (thread::current(), clock::now());
        let progress = shared.signs_of_progress();
        let mut watched = watched();
        if !watched.has_thread {
            let thread = Builder::new().name("tidegate-bubble".into()).spawn(watch);
            drop(thread.unwrap_or_else(|error| panic!("no thread for the watchdog: {error}")));
            watched.has_thread = true;
        }
        let shared = Arc::clone(shared);
        watched.bubbles.push(Entry {
            shared: Arc::clone(&shared),
            test,
            patience,
            progress,
            idle: Duration::ZERO,
            looked,
        });
        Self(shared)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        watched().bubbles.retain(|bubble| !Arc::ptr_eq(&bubble.shared, &self.0));
    }
}

fn watch() {
    let mut idle = 0;
    loop {
        clock::pause(TICK);
        let mut watched = watched();
        idle = if watched.bubbles.is_empty() { idle + 1 } else { 0 };
        if idle > IDLE_TICKS {
            watched.has_thread = false;
            return;
        }
        let now = clock::now();
        let roots: Vec<_> =
            watched.bubbles.iter_mut().filter_map(|bubble| bubble.look(now)).collect();
        drop(watched);
        roots.into_iter().for_each(Waker::wake);
    }
}

impl Entry {
    /// The root of a bubble that is to end.
    fn look(&mut self, now: Instant) -> Option<Waker> {
        let progress = self.shared.signs_of_progress();
        let passed = now - std::mem::replace(&mut self.looked, now);
        if progress != self.progress || self.shared.is_looking() {
            (self.progress, self.idle) = (progress, Duration::ZERO);
            return None;
        }
        self.idle += passed.min(LONGEST);
        if self.idle < self.patience {
            return None;
        }
        // It was asked to end, and has not heard in as much time again.
        if self.shared.is_deaf() {
            end_process(self.test.name().unwrap_or("a test"), self.patience);
        }
        self.idle = Duration::ZERO;
        self.shared.suspect()
    }
}

/// A poll that does not return cannot be taken back, and the test would never end.
fn end_process(test: &str, patience: Duration) -> ! {
    let poll = "one poll, of the test or of a task, has not returned for";
    // Nobody may be there to read.
    let _ = writeln!(io::stderr(), "{test}: {poll} {patience:?}");
    process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn entry(shared: &Arc<Shared>) -> Entry {
        Entry {
            shared: Arc::clone(shared),
            test: thread::current(),
            patience: PATIENCE,
            progress: 0,
            idle: Duration::ZERO,
            looked: clock::now(),
        }
    }

    impl Entry {
        /// Looks as often as the thread does.
        fn look_for(&mut self, time: Duration) {
            let end = self.looked + time;
            while self.looked < end {
                self.look(self.looked + TICK);
            }
        }
    }

    #[test]
    fn who_looks_at_a_stack_is_let_be() {
        let shared = Arc::new(Shared::default());
        let mut entry = entry(&shared);
        let looks = shared.look_at_stack();
        entry.look_for(PATIENCE * 10);
        assert!(!shared.is_deaf());
        drop(looks);
        entry.look_for(PATIENCE / 2);
        assert!(!shared.is_deaf());
        entry.look_for(PATIENCE / 2);
        assert!(shared.is_deaf());
    }

    #[test]
    fn time_in_which_the_process_was_stopped_does_not_count() {
        let shared = Arc::new(Shared::default());
        let mut entry = entry(&shared);
        entry.look_for(PATIENCE / 2);
        entry.look(entry.looked + PATIENCE * 100);
        assert!(!shared.is_deaf());
        entry.look_for(PATIENCE / 2);
        assert!(shared.is_deaf());
        entry.look(entry.looked + PATIENCE * 100);
    }
}
