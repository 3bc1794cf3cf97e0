//! A table in which what is missing is looked up under one lock, and inserted under another.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{AtomicUsize, RwLock},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "second-insert",
    kind: Kind::Threads,
    source: Source::GitHub("palfrey/serial_test", 46),
    about: "two threads find that a lock is missing: the second replaces the one the first uses",
    tests: SecondInsert::TESTS,
};

pub(crate) struct SecondInsert;

pub(crate) struct Table {
    /// The number of the lock that belongs to the only name.
    lock: RwLock<Option<usize>>,
    made: AtomicUsize,
}

impl Table {
    fn get(&self, variant: Variant) -> usize {
        if let Some(lock) = *self.lock.read() {
            return lock;
        }
        let mut entry = self.lock.write();
        match *entry {
            Some(lock) if !variant.has_bug() => lock,
            _ => *entry.insert(self.made.fetch_add(1)),
        }
    }
}

impl Race for SecondInsert {
    type State = Table;

    const NAME: &'static str = "a name has one lock";

    fn state() -> Table {
        Table { lock: RwLock::new(None), made: AtomicUsize::new(0) }
    }

    fn part(table: &Table, _: usize, _: usize, variant: Variant) {
        assert_eq!(table.get(variant), 0, "another lock for the same name");
    }
}
