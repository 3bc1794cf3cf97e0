//! A list of free slots, whose first one is taken and given back while another thread looks.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "free-list-aba",
    kind: Kind::Threads,
    source: Source::GitHub("dlang/phobos", 2874),
    about: "the first free slot is the same as before, the second one is not: two threads own it",
    tests: FreeListAba::TESTS,
};

const SLOTS: usize = 4;
/// The bits of the head that are no version.
const INDEX: usize = 0xff;

pub(crate) struct FreeListAba;

pub(crate) struct Slots {
    /// The first free slot, from 1, or 0; in the cure the number of changes is above it.
    head: AtomicUsize,
    next: Vec<AtomicUsize>,
    owners: Vec<AtomicUsize>,
}

impl Slots {
    fn take(&self, variant: Variant) -> Option<usize> {
        loop {
            let head = self.head.load();
            let slot = head & INDEX;
            if slot == 0 {
                return None;
            }
            let next = self.next[slot - 1].load();
            if self.replace(head, next, variant) {
                let owners = self.owners[slot - 1].fetch_add(1);
                assert_eq!(owners, 0, "slot {slot} has an owner already");
                return Some(slot);
            }
        }
    }

    fn give_back(&self, slot: usize, variant: Variant) {
        self.owners[slot - 1].fetch_sub(1);
        loop {
            let head = self.head.load();
            self.next[slot - 1].store(head & INDEX);
            if self.replace(head, slot, variant) {
                return;
            }
        }
    }

    fn replace(&self, head: usize, first: usize, variant: Variant) -> bool {
        let version = if variant.has_bug() { 0 } else { (head & !INDEX).wrapping_add(INDEX + 1) };
        self.head.replace(head, version | first)
    }
}

impl Race for FreeListAba {
    type State = Slots;

    const NAME: &'static str = "a slot has one owner";

    fn state() -> Slots {
        Slots {
            head: AtomicUsize::new(1),
            next: (1..=SLOTS).map(|slot| AtomicUsize::new((slot + 1) % (SLOTS + 1))).collect(),
            owners: (0..SLOTS).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    fn part(slots: &Slots, _: usize, _: usize, variant: Variant) {
        let (first, second) = (slots.take(variant), slots.take(variant));
        for slot in [first, second].into_iter().flatten() {
            slots.give_back(slot, variant);
        }
    }
}
