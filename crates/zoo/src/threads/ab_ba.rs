//! Two accounts, each with a lock, and transfers in both directions.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::Mutex,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "ab-ba",
    kind: Kind::Threads,
    source: Source::GitHub("BurtonQin/lockbud", 71),
    about: "two threads take two locks in two orders",
    tests: AbBa::TESTS,
};

pub(crate) struct AbBa;

impl Race for AbBa {
    type State = [Mutex<usize>; 2];

    const NAME: &'static str = "transfers end";

    fn state() -> Self::State {
        [Mutex::new(10), Mutex::new(10)]
    }

    fn part(accounts: &Self::State, index: usize, _: usize, variant: Variant) {
        let from = index % 2;
        let first = if variant.has_bug() { from } else { 0 };
        let mut locked = [accounts[first].lock(), accounts[1 - first].lock()];
        // Where the account from which to take is in the order of the locks.
        let at = from ^ first;
        *locked[at] -= 1;
        *locked[1 - at] += 1;
    }

    fn check(accounts: &Self::State, _: usize) -> Result<(), String> {
        match *accounts[0].lock() + *accounts[1].lock() {
            20 => Ok(()),
            sum => Err(format!("{sum} of 20")),
        }
    }
}
