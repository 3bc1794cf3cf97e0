//! A thread that looks whether bubbles make progress, in real time: one for all of the process,
//! as a bubble takes less time than the start of a thread.

use super::shared::Shared;
use crate::clock;
use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, Builder, Thread},
    time::{Duration, Instant},
};

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);

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
    /// Since when its runtime has turned so often.
    turns: u64,
    since: Instant,
}

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at a bubble until it is dropped.
pub(super) struct Watchdog(Arc<Shared>);

impl Watchdog {
    pub(super) fn start(shared: &Arc<Shared>, patience: Duration) -> Self {
        let (test, turns, since) = (thread::current(), shared.turns(), clock::now());
        let mut watched = watched();
        if !watched.has_thread {
            let thread = Builder::new().name("tidegate-bubble".into()).spawn(watch);
            drop(thread.unwrap_or_else(|error| panic!("no thread for the watchdog: {error}")));
            watched.has_thread = true;
        }
        let shared = Arc::clone(shared);
        watched.bubbles.push(Entry { shared: Arc::clone(&shared), test, patience, turns, since });
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
        watched.bubbles.iter_mut().for_each(|bubble| bubble.look(now));
    }
}

impl Entry {
    fn look(&mut self, now: Instant) {
        let turns = self.shared.turns();
        if turns != self.turns {
            (self.turns, self.since) = (turns, now);
        } else if now - self.since >= self.patience {
            // It was asked to end, and has not heard in as much time again.
            if self.shared.is_deaf() {
                end_process(self.test.name().unwrap_or("a test"), self.patience);
            }
            self.shared.suspect();
            self.since = now;
        }
    }
}

/// A poll that does not return cannot be taken back, and the test would never end.
#[expect(clippy::print_stderr, reason = "the last word of a process")]
fn end_process(test: &str, patience: Duration) -> ! {
    eprintln!("{test}: one poll, of the test or of a task, has not returned for {patience:?}");
    process::abort()
}
