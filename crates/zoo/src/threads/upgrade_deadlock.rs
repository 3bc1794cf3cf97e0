//! A lock of readers and writers, whose readers may become writers.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{Condvar, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "upgrade-deadlock",
    kind: Kind::Threads,
    source: Source::GitHub("kraison/vivace-graph", 76),
    about: "two readers want to write, and each waits until the other does not read any more",
    tests: UpgradeDeadlock::TESTS,
};

pub(crate) struct UpgradeDeadlock;

#[derive(Default)]
pub(crate) struct Holders {
    readers: usize,
    is_upgrading: bool,
}

pub(crate) struct Lock {
    holders: Mutex<Holders>,
    left: Condvar,
}

impl Lock {
    /// Writes, after it has read, unless another reader is about to do so.
    fn read_and_write(&self, variant: Variant) {
        let mut holders = self.holders.lock();
        while holders.is_upgrading {
            holders = self.left.wait(holders);
        }
        holders.readers += 1;
        drop(holders);
        let mut holders = self.holders.lock();
        if variant.has_bug() || !holders.is_upgrading {
            holders.is_upgrading = true;
            while holders.readers > 1 {
                holders = self.left.wait(holders);
            }
            holders.is_upgrading = false;
        }
        holders.readers -= 1;
        drop(holders);
        self.left.notify_all();
    }
}

impl Race for UpgradeDeadlock {
    type State = Lock;

    const NAME: &'static str = "readers become writers";

    fn state() -> Lock {
        Lock { holders: Mutex::new(Holders::default()), left: Condvar::new() }
    }

    fn part(lock: &Lock, _: usize, _: usize, variant: Variant) {
        lock.read_and_write(variant);
    }
}
