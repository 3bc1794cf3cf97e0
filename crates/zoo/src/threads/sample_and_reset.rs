//! A counter that is sampled: read, and set back to zero.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "sample-and-reset",
    kind: Kind::Threads,
    source: Source::GitHub("orlyatomics/orly", 408),
    about: "what is counted between the reading and the zero is in no sample",
    tests: SampleAndReset::TESTS,
};

pub(crate) struct SampleAndReset;

pub(crate) struct Counter {
    now: AtomicUsize,
    sampled: AtomicUsize,
}

impl Race for SampleAndReset {
    type State = Counter;

    const NAME: &'static str = "all is in a sample";

    fn state() -> Counter {
        Counter { now: AtomicUsize::new(0), sampled: AtomicUsize::new(0) }
    }

    fn part(counter: &Counter, index: usize, _: usize, variant: Variant) {
        if index > 0 {
            counter.now.fetch_add(1);
        } else if variant.has_bug() {
            counter.sampled.fetch_add(counter.now.load());
            counter.now.store(0);
        } else {
            counter.sampled.fetch_add(counter.now.swap(0));
        }
    }

    fn check(counter: &Counter, threads: usize) -> Result<(), String> {
        match counter.sampled.load() + counter.now.load() {
            n if n == threads - 1 => Ok(()),
            n => Err(format!("{n} of {}", threads - 1)),
        }
    }
}
