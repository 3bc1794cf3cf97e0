//! A condition that comes true, and is told, while somebody is about to wait for it.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{AtomicUsize, Condvar, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "unlocked-notify",
    kind: Kind::Threads,
    source: Source::GitHub("qdrant/qdrant", 8847),
    about: "whoever has looked and does not wait yet misses a wake-up without the lock",
    tests: UnlockedNotify::TESTS,
};

pub(crate) struct UnlockedNotify;

pub(crate) struct Watched {
    value: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Race for UnlockedNotify {
    type State = Watched;

    const NAME: &'static str = "who waits for a change is told";

    fn state() -> Watched {
        Watched { value: AtomicUsize::new(0), lock: Mutex::new(()), changed: Condvar::new() }
    }

    fn part(watched: &Watched, index: usize, _: usize, variant: Variant) {
        if index > 0 {
            let mut lock = watched.lock.lock();
            while watched.value.load() == 0 {
                lock = watched.changed.wait(lock);
            }
            return;
        }
        watched.value.store(1);
        let lock = (!variant.has_bug()).then(|| watched.lock.lock());
        watched.changed.notify_all();
        drop(lock);
    }
}
