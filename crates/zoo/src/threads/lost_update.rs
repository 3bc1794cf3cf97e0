//! A counter that is read, changed and written back.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "lost-update",
    kind: Kind::Threads,
    source: Source::Page("CWE-362", "https://cwe.mitre.org/data/definitions/362.html"),
    about: "two threads read a counter before either writes it: one of them counts for nothing",
    tests: LostUpdate::TESTS,
};

pub(crate) struct LostUpdate;

impl Race for LostUpdate {
    type State = AtomicUsize;

    const NAME: &'static str = "a counter counts all";

    fn state() -> AtomicUsize {
        AtomicUsize::new(0)
    }

    fn part(counter: &AtomicUsize, _: usize, _: usize, variant: Variant) {
        if variant.has_bug() {
            counter.store(counter.load() + 1);
        } else {
            counter.fetch_add(1);
        }
    }

    fn check(counter: &AtomicUsize, threads: usize) -> Result<(), String> {
        match counter.load() {
            sum if sum == threads => Ok(()),
            sum => Err(format!("{sum} of {threads}")),
        }
    }
}
