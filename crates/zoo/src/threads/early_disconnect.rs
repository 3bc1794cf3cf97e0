//! A channel that has ended when it is empty and nobody sends any more.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::{AtomicUsize, Mutex},
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "early-disconnect",
    kind: Kind::Threads,
    source: Source::GitHub("frostyplanet/crossfire-rs", 70),
    about: "an item comes after it was found empty, and before the last sender was found gone",
    tests: EarlyDisconnect::TESTS,
};

pub(crate) struct EarlyDisconnect;

pub(crate) struct Channel {
    items: Mutex<usize>,
    /// How many senders are gone.
    gone: AtomicUsize,
    received: AtomicUsize,
    is_over: AtomicUsize,
}

impl Channel {
    fn receive(&self) -> bool {
        let mut items = self.items.lock();
        let is_there = *items > 0;
        *items -= usize::from(is_there);
        is_there
    }

    /// `None` at the end, and false when there is nothing now.
    fn try_receive(&self, senders: usize, variant: Variant) -> Option<bool> {
        if self.receive() {
            return Some(true);
        }
        if self.gone.load() < senders {
            return Some(false);
        }
        // What is there now was sent before the last one left.
        (!variant.has_bug() && self.receive()).then_some(true)
    }
}

impl Race for EarlyDisconnect {
    type State = Channel;

    const NAME: &'static str = "nothing is lost at the end";

    fn state() -> Channel {
        let [gone, received, is_over] = [0, 0, 0].map(AtomicUsize::new);
        Channel { items: Mutex::new(0), gone, received, is_over }
    }

    fn part(channel: &Channel, index: usize, threads: usize, variant: Variant) {
        if index > 0 {
            *channel.items.lock() += 1;
            channel.gone.fetch_add(1);
            return;
        }
        for _ in 0..=threads {
            match channel.try_receive(threads - 1, variant) {
                Some(true) => drop(channel.received.fetch_add(1)),
                Some(false) => {}
                None => return channel.is_over.store(1),
            }
        }
    }

    fn check(channel: &Channel, threads: usize) -> Result<(), String> {
        match channel.received.load() {
            n if channel.is_over.load() == 1 && n < threads - 1 => Err(format!("{n} arrived")),
            _ => Ok(()),
        }
    }
}
