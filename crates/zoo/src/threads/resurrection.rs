//! A connection in a cache, which its last user closes.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "resurrection",
    kind: Kind::Threads,
    source: Source::GitHub("neo4j/neo4j-spark-connector", 1043),
    about: "the last user goes, and before it closes the connection another one comes",
    tests: Resurrection::TESTS,
};

pub(crate) struct Resurrection;

pub(crate) struct Connection {
    /// Thread 0 is one from the beginning.
    users: AtomicUsize,
    closed: AtomicUsize,
}

impl Connection {
    fn acquire(&self, variant: Variant) -> bool {
        if variant.has_bug() {
            self.users.fetch_add(1);
            return self.closed.load() == 0;
        }
        loop {
            let users = self.users.load();
            if users == 0 || self.users.replace(users, users + 1) {
                return users > 0;
            }
        }
    }

    fn release(&self) {
        if self.users.fetch_sub(1) == 1 {
            self.closed.fetch_add(1);
        }
    }
}

impl Race for Resurrection {
    type State = Connection;

    const NAME: &'static str = "a connection in use is open";

    fn state() -> Connection {
        Connection { users: AtomicUsize::new(1), closed: AtomicUsize::new(0) }
    }

    fn part(connection: &Connection, index: usize, _: usize, variant: Variant) {
        if index == 0 || connection.acquire(variant) {
            assert_eq!(connection.closed.load(), 0, "closed while it is used");
            connection.release();
        }
    }
    fn check(connection: &Connection, _: usize) -> Result<(), String> {
        match connection.closed.load() {
            1 => Ok(()),
            n => Err(format!("closed {n} times")),
        }
    }
}
