//! A count of waiters, which is decremented first and put right when there was none.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "waiter-underflow",
    kind: Kind::Threads,
    source: Source::GitHub("asterinas/asterinas", 675),
    about: "until one thread has put the count right, another one sees very many waiters",
    tests: WaiterUnderflow::TESTS,
};

pub(crate) struct WaiterUnderflow;

pub(crate) struct Waiters {
    waiting: AtomicUsize,
    woken: AtomicUsize,
}

impl Waiters {
    fn notify_one(&self, variant: Variant) -> bool {
        if variant.has_bug() {
            let is_there = self.waiting.fetch_sub(1) != 0;
            if !is_there {
                self.waiting.fetch_add(1);
            }
            return is_there;
        }
        loop {
            let waiting = self.waiting.load();
            if waiting == 0 || self.waiting.replace(waiting, waiting - 1) {
                return waiting > 0;
            }
        }
    }
}

impl Race for WaiterUnderflow {
    type State = Waiters;

    const NAME: &'static str = "nobody is woken who does not wait";

    fn state() -> Waiters {
        Waiters { waiting: AtomicUsize::new(0), woken: AtomicUsize::new(0) }
    }

    fn part(waiters: &Waiters, _: usize, _: usize, variant: Variant) {
        if waiters.notify_one(variant) {
            waiters.woken.fetch_add(1);
        }
    }

    fn check(waiters: &Waiters, _: usize) -> Result<(), String> {
        match waiters.woken.load() {
            0 => Ok(()),
            n => Err(format!("{n} of 0 waiters")),
        }
    }
}
