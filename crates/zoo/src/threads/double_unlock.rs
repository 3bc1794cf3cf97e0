//! A lock that is unlocked on the way out, and by the end of its guard.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "double-unlock",
    kind: Kind::Threads,
    source: Source::Page("CWE-765", "https://cwe.mitre.org/data/definitions/765.html"),
    about: "the second time it is the lock of whoever has taken it in between",
    tests: DoubleUnlock::TESTS,
};

pub(crate) struct DoubleUnlock;

pub(crate) struct Spinlock {
    is_locked: AtomicUsize,
    inside: AtomicUsize,
}

impl Race for DoubleUnlock {
    type State = Spinlock;

    const NAME: &'static str = "one is inside";
    const THREADS: usize = 3;

    fn state() -> Spinlock {
        Spinlock { is_locked: AtomicUsize::new(0), inside: AtomicUsize::new(0) }
    }

    fn part(lock: &Spinlock, _: usize, _: usize, variant: Variant) {
        if lock.is_locked.swap(1) == 1 {
            return;
        }
        assert_eq!(lock.inside.fetch_add(1), 0, "somebody is inside");
        lock.inside.fetch_sub(1);
        lock.is_locked.store(0);
        if variant.has_bug() {
            lock.is_locked.store(0);
        }
    }
}
