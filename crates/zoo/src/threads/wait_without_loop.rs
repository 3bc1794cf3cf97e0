//! A queue whose consumers take it for granted that there is an item for whoever was woken.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{Condvar, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "wait-without-loop",
    kind: Kind::Threads,
    source: Source::GitHub("Amanieu/parking_lot", 318),
    about: "between the wake-up and the lock somebody else takes the item",
    tests: WaitWithoutLoop::TESTS,
};

pub(crate) struct WaitWithoutLoop;

pub(crate) struct Queue {
    items: Mutex<usize>,
    filled: Condvar,
}

impl Race for WaitWithoutLoop {
    type State = Queue;

    const NAME: &'static str = "each consumer gets an item";
    const THREADS: usize = 3;

    fn state() -> Queue {
        Queue { items: Mutex::new(0), filled: Condvar::new() }
    }

    fn part(queue: &Queue, index: usize, threads: usize, variant: Variant) {
        if index == 0 {
            for _ in 1..threads {
                *queue.items.lock() += 1;
                queue.filled.notify_one();
            }
            return;
        }
        let mut items = queue.items.lock();
        while *items == 0 {
            items = queue.filled.wait(items);
            if variant.has_bug() {
                break;
            }
        }
        let left = items.checked_sub(1);
        *items = left.unwrap_or(0);
        drop(items);
        assert!(left.is_some(), "woken for nothing");
    }
}
