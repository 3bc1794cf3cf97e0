//! What a fleet says to a breaker, and asks it. Nobody holds its lock while anything else is waited for.

use super::{event::Event, shared::Shared};
use crate::{
    clock::Clock,
    state::{Asked, Part, Say, Stand},
};

impl<C: Clock> Shared<C> {
    pub(crate) fn share(&self, patience: u64, recheck: u64) {
        self.with(Asked::Else, |machine, _| (machine.share(patience, recheck), None));
    }

    /// Somebody keeps it and a fleet together from now on; whether nobody did before.
    pub(crate) fn join(&self) -> bool {
        self.with(Asked::Else, |machine, _| (machine.join(), None))
    }

    pub(crate) fn leave(&self) {
        self.with(Asked::Else, |machine, _| (machine.leave(), None));
    }

    /// The same number for the same settings, whatever the process; `hold` is one of them.
    pub(crate) fn digest(&self, hold: u64) -> u64 {
        let rules = self.with(Asked::Else, |machine, _| (machine.settings(), None));
        let window = (self.gate().window(), self.window_length());
        let text = format!("{rules} {window:?} {:?} {hold}", self.slow_after());
        // FNV-1a (Fowler, Noll, Vo 1991).
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    pub(crate) fn say(&self, hold: u64, is_wanted: bool) -> Say {
        self.with(Asked::Else, |machine, now| (machine.say(now, hold, is_wanted), None))
    }

    pub(crate) fn hear(&self, said: &Say, stand: Stand, others: &[Part]) {
        self.with(Asked::Told, |machine, now| ((), machine.hear(now, said, stand, others)));
    }

    pub(crate) fn generation(&self) -> u64 {
        self.with(Asked::Else, |machine, _| (machine.generation(), None))
    }

    /// Says that the store of the fleet answers again, or does not any more.
    pub(crate) fn tell_fleet(&self, event: &Event) {
        self.observer.tell(&self.name, event);
    }

    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }
}
