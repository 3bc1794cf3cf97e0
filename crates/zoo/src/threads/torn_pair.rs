//! Two numbers that belong together, read one after the other.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{AtomicUsize, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "torn-pair",
    kind: Kind::Threads,
    source: Source::GitHub("neoeinstein/stats_alloc", 5),
    about: "statistics of two moments are taken for those of one",
    tests: TornPair::TESTS,
};

/// Of each allocation.
const SIZE: usize = 16;

pub(crate) struct TornPair;

pub(crate) struct Stats {
    bytes: AtomicUsize,
    allocations: AtomicUsize,
    lock: Mutex<()>,
}

impl Race for TornPair {
    type State = Stats;

    const NAME: &'static str = "statistics add up";

    fn state() -> Stats {
        let (bytes, allocations) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Stats { bytes, allocations, lock: Mutex::new(()) }
    }

    fn part(stats: &Stats, index: usize, _: usize, variant: Variant) {
        let _lock = (!variant.has_bug()).then(|| stats.lock.lock());
        if index == 0 {
            stats.allocations.fetch_add(1);
            stats.bytes.fetch_add(SIZE);
        } else {
            let (allocations, bytes) = (stats.allocations.load(), stats.bytes.load());
            assert_eq!(bytes, allocations * SIZE, "bytes of {allocations} allocations");
        }
    }
}
