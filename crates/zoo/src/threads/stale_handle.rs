//! A handle on a job, whose place another job has got.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "stale-handle",
    kind: Kind::Threads,
    source: Source::Page("CWE-367", "https://cwe.mitre.org/data/definitions/367.html"),
    about: "the generation was right when it was checked: the next job is cancelled instead",
    tests: StaleHandle::TESTS,
};

pub(crate) struct StaleHandle;

/// In the bits above that of a cancelled job is the generation, except where there is the bug.
pub(crate) struct Place {
    generation: AtomicUsize,
    job: AtomicUsize,
}

const CANCELLED: usize = 1;

impl Race for StaleHandle {
    type State = Place;

    const NAME: &'static str = "the right job is cancelled";

    fn state() -> Place {
        Place { generation: AtomicUsize::new(0), job: AtomicUsize::new(0) }
    }

    /// Thread 0 ends the job of generation 0 and begins the next, the others cancel that of 0.
    fn part(place: &Place, index: usize, _: usize, variant: Variant) {
        match (index, variant.has_bug()) {
            (0, true) => {
                place.generation.store(1);
                place.job.store(0);
            }
            (0, false) => drop(place.job.swap(1 << 1)),
            (_, true) => {
                if place.generation.load() == 0 {
                    place.job.store(CANCELLED);
                }
            }
            (_, false) => drop(place.job.replace(0, CANCELLED)),
        }
    }

    fn check(place: &Place, _: usize) -> Result<(), String> {
        match place.job.load() & CANCELLED {
            0 => Ok(()),
            _ => Err("the next job is cancelled".to_owned()),
        }
    }
}
