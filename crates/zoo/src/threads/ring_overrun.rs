//! A ring that its writer never waits for, and readers that may be a whole turn behind.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "ring-overrun",
    kind: Kind::Threads,
    source: Source::GitHub("filipdulic/bus-queue", 30),
    about: "a reader finds its slot valid, which the writer is about to write again",
    tests: RingOverrun::TESTS,
};

const SLOTS: usize = 2;

pub(crate) struct RingOverrun;

pub(crate) struct Ring {
    slots: [AtomicUsize; SLOTS],
    written: AtomicUsize,
}

impl Ring {
    /// The item with this number, if it is there.
    fn read(&self, number: usize, variant: Variant) -> Option<usize> {
        let written = self.written.load();
        if written <= number || written - number > SLOTS {
            return None;
        }
        let item = self.slots[number % SLOTS].load();
        // From `number + SLOTS` on the slot is being written again.
        let is_sure = variant.has_bug() || self.written.load() < number + SLOTS;
        is_sure.then_some(item)
    }
}

impl Race for RingOverrun {
    type State = Ring;

    const NAME: &'static str = "an item is what was written";

    fn state() -> Ring {
        let slots = [AtomicUsize::new(0), AtomicUsize::new(0)];
        Ring { slots, written: AtomicUsize::new(0) }
    }

    fn part(ring: &Ring, index: usize, _: usize, variant: Variant) {
        for number in 0..SLOTS * 2 {
            if index == 0 {
                ring.slots[number % SLOTS].store(number);
                ring.written.store(number + 1);
            } else if let Some(item) = ring.read(number, variant) {
                assert_eq!(item, number);
            }
        }
    }
}
