//! Something that is said to be ready before it is.

use crate::{
    race::Race,
    specimen::{Kind, Source, Specimen, Variant},
    sync::AtomicUsize,
};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "early-publish",
    kind: Kind::Threads,
    source: Source::GitHub("crossbeam-rs/crossbeam", 972),
    about: "one of two fields is set, from which others conclude that both are",
    tests: EarlyPublish::TESTS,
};

pub(crate) struct EarlyPublish;

pub(crate) struct Channel {
    tail: AtomicUsize,
    block: AtomicUsize,
}

impl Race for EarlyPublish {
    type State = Channel;

    const NAME: &'static str = "what is published is whole";

    fn state() -> Channel {
        Channel { tail: AtomicUsize::new(0), block: AtomicUsize::new(0) }
    }

    fn part(channel: &Channel, index: usize, _: usize, variant: Variant) {
        if index > 0 {
            assert!(channel.tail.load() == 0 || channel.block.load() != 0, "there is no block");
        } else if variant.has_bug() {
            channel.tail.store(1);
            channel.block.store(7);
        } else {
            channel.block.store(7);
            channel.tail.store(1);
        }
    }
}
