//! A semaphore that looks whether there is a permit, and then takes one.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "permit-overdraft",
    kind: Kind::Threads,
    source: Source::GitHub("Lind-Project/safeposix-rust", 192),
    about: "two threads see the last permit, and both take it",
    tests: PermitOverdraft::TESTS,
};

pub(crate) struct PermitOverdraft;

pub(crate) struct Semaphore {
    permits: AtomicUsize,
    holders: AtomicUsize,
}

impl Semaphore {
    fn try_acquire(&self, variant: Variant) -> bool {
        if variant.has_bug() {
            let is_free = self.permits.load() > 0;
            if is_free {
                self.permits.fetch_sub(1);
            }
            return is_free;
        }
        self.permits.replace(1, 0)
    }
}

impl Race for PermitOverdraft {
    type State = Semaphore;

    const NAME: &'static str = "one permit has one holder";

    fn state() -> Semaphore {
        Semaphore { permits: AtomicUsize::new(1), holders: AtomicUsize::new(0) }
    }

    fn part(semaphore: &Semaphore, _: usize, _: usize, variant: Variant) {
        if semaphore.try_acquire(variant) {
            assert_eq!(semaphore.holders.fetch_add(1), 0, "there is a holder already");
            semaphore.holders.fetch_sub(1);
            semaphore.permits.fetch_add(1);
        }
    }
}
