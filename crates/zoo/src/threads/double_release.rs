//! A permit that is given back by whoever is the first to notice that it is not needed any more.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "double-release",
    kind: Kind::Threads,
    source: Source::Page("CWE-1341", "https://cwe.mitre.org/data/definitions/1341.html"),
    about: "the end of the work and its timeout both give back the permit",
    tests: DoubleRelease::TESTS,
};

pub(crate) struct DoubleRelease;

pub(crate) struct Lease {
    is_released: AtomicUsize,
    permits: AtomicUsize,
}

impl Race for DoubleRelease {
    type State = Lease;

    const NAME: &'static str = "a permit comes back once";

    fn state() -> Lease {
        Lease { is_released: AtomicUsize::new(0), permits: AtomicUsize::new(0) }
    }

    fn part(lease: &Lease, _: usize, _: usize, variant: Variant) {
        let is_first = if variant.has_bug() {
            let is_first = lease.is_released.load() == 0;
            lease.is_released.store(1);
            is_first
        } else {
            lease.is_released.swap(1) == 0
        };
        if is_first {
            lease.permits.fetch_add(1);
        }
    }

    fn check(lease: &Lease, _: usize) -> Result<(), String> {
        match lease.permits.load() {
            1 => Ok(()),
            n => Err(format!("{n} permits of 1")),
        }
    }
}
