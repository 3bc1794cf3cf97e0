//! Something that is made when it is first needed.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{AtomicUsize, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "second-init",
    kind: Kind::Threads,
    source: Source::GitHub("xroche/httrack", 321),
    about: "two threads are the first to need it, and both make it",
    tests: SecondInit::TESTS,
};

pub(crate) struct SecondInit;

pub(crate) struct Lazy {
    is_made: AtomicUsize,
    making: Mutex<()>,
    times: AtomicUsize,
}

impl Race for SecondInit {
    type State = Lazy;

    const NAME: &'static str = "it is made once";

    fn state() -> Lazy {
        Lazy { is_made: AtomicUsize::new(0), making: Mutex::new(()), times: AtomicUsize::new(0) }
    }

    fn part(lazy: &Lazy, _: usize, _: usize, variant: Variant) {
        if lazy.is_made.load() == 1 {
            return;
        }
        let _making = lazy.making.lock();
        if variant.has_bug() || lazy.is_made.load() == 0 {
            lazy.times.fetch_add(1);
            lazy.is_made.store(1);
        }
    }

    fn check(lazy: &Lazy, _: usize) -> Result<(), String> {
        match lazy.times.load() {
            1 => Ok(()),
            n => Err(format!("made {n} times")),
        }
    }
}
