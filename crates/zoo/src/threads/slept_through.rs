//! A worker that goes to sleep when there is nothing to do, and a pool that is shut down.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{AtomicUsize, Condvar, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "slept-through",
    kind: Kind::Threads,
    source: Source::GitHub("lingo-db/lingo-db", 143),
    about: "a worker has decided to sleep before the shutdown, and does so after it",
    tests: SleptThrough::TESTS,
};

pub(crate) struct SleptThrough;

pub(crate) struct Pool {
    is_over: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

impl Race for SleptThrough {
    type State = Pool;

    const NAME: &'static str = "workers end";

    fn state() -> Pool {
        Pool { is_over: AtomicUsize::new(0), sleep: Mutex::new(()), wake: Condvar::new() }
    }

    fn part(pool: &Pool, index: usize, _: usize, variant: Variant) {
        if index == 0 {
            pool.is_over.store(1);
            let _sleep = pool.sleep.lock();
            pool.wake.notify_all();
            return;
        }
        while pool.is_over.load() == 0 {
            let sleep = pool.sleep.lock();
            if variant.has_bug() || pool.is_over.load() == 0 {
                drop(pool.wake.wait(sleep));
            }
        }
    }
}
