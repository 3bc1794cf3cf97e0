//! Places in a table, those that wait for their contents also in a list.

use super::Key;

/// No neighbour.
const NONE: usize = usize::MAX;

#[derive(Debug)]
pub(super) enum Place<J, L> {
    Free,
    /// Listed.
    Pending(J),
    /// Listed.
    Reading {
        wanted: bool,
    },
    /// The emitter is going to read it.
    Left(J),
    /// With what it counts for in the window.
    Ready(L, usize),
}

#[derive(Debug)]
struct Slot<J, L> {
    generation: u64,
    before: usize,
    after: usize,
    place: Place<J, L>,
}

#[derive(Debug)]
pub(super) struct Places<J, L> {
    slots: Vec<Slot<J, L>>,
    free: Vec<usize>,
    first: usize,
}

impl<J, L> Places<J, L> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), first: NONE }
    }

    #[cfg(all(test, not(tidegate_loom)))]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Place<J, L>> {
        let slot = self.slots.get_mut(key.index)?;
        let live = slot.generation == key.generation && !matches!(slot.place, Place::Free);
        live.then_some(&mut slot.place)
    }

    /// A pending place, listed after the given one, or first if that is not listed.
    pub(super) fn insert(&mut self, after: Option<Key>, job: J) -> Key {
        let before = match after {
            Some(key) if self.is_listed(key) => key.index,
            _ => NONE,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            let (before, after, place) = (NONE, NONE, Place::Free);
            self.slots.push(Slot { generation: 0, before, after, place });
            self.slots.len() - 1
        });
        let after = if before == NONE { self.first } else { self.slots[before].after };
        self.link(before, index);
        self.link(index, after);
        self.slots[index].place = Place::Pending(job);
        Key { index, generation: self.slots[index].generation }
    }

    /// Marks the first pending place as being read.
    pub(super) fn first_pending(&mut self) -> Option<(Key, J)> {
        let mut index = self.first;
        // What is passed over is being read: at most one place for each thread.
        while index != NONE {
            let slot = &mut self.slots[index];
            if matches!(slot.place, Place::Pending(_)) {
                let reading = Place::Reading { wanted: false };
                let Place::Pending(job) = std::mem::replace(&mut slot.place, reading) else {
                    return None;
                };
                return Some((Key { index, generation: slot.generation }, job));
            }
            index = slot.after;
        }
        None
    }

    /// Gives a place its contents, or says that there will be none, and takes it off the list.
    pub(super) fn unlist(&mut self, key: Key, place: Place<J, L>) {
        self.cut(key);
        if let Some(old) = self.get(key) {
            *old = place;
        }
    }

    /// Takes a place out altogether.
    pub(super) fn free(&mut self, key: Key) -> Place<J, L> {
        self.cut(key);
        let Some(place) = self.get(key) else { return Place::Free };
        let old = std::mem::replace(place, Place::Free);
        self.slots[key.index].generation += 1;
        self.free.push(key.index);
        old
    }

    fn is_listed(&mut self, key: Key) -> bool {
        matches!(self.get(key), Some(Place::Pending(_) | Place::Reading { .. }))
    }

    fn cut(&mut self, key: Key) {
        if self.is_listed(key) {
            let Slot { before, after, .. } = self.slots[key.index];
            self.link(before, after);
        }
    }

    fn link(&mut self, before: usize, after: usize) {
        if before == NONE {
            self.first = after;
        } else {
            self.slots[before].after = after;
        }
        if after != NONE {
            self.slots[after].before = before;
        }
    }
}
