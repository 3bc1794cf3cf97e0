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
