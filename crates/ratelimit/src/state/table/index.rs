//! Where in a table the entries of a hash are.

/// The most entries of one index. More would be further from their places than it is worth: there are only
/// 2^16 places to want.
pub(crate) const MOST: usize = 1 << 14;

const NONE: u16 = u16::MAX;

/// An index of up to [`MOST`] entries that are kept elsewhere, each under a tag: 16 bits of its hash.
///
/// Open addressing with linear probing, and without tombstones: what comes after a removed one moves up.
/// The size is any number, so that at least three of four places are in use, and never more than seven of
/// eight. The tags are kept with the entries, so that no key is hashed again when the index grows.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: Vec<u16>,
}

impl Index {
    /// The entry of that tag which `is_it`.
    #[inline]
    pub(crate) fn find(
        &self,
        tag: u16,
        tags: &[u16],
        mut is_it: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.wanted(tag);
        loop {
            let at = usize::from(self.places[place]);
            if at == usize::from(NONE) {
                return None;
            }
            if tags[at] == tag && is_it(at) {
                return Some(at);
            }
            place = self.after(place);
        }
    }

    /// Adds the last entry of `tags`.
    pub(crate) fn add_last(&mut self, tags: &[u16]) {
        if tags.len() * 8 > self.places.len() * 7 {
            self.resize(tags);
        } else {
            self.put(tags, tags.len() - 1);
        }
    }

    /// Takes out an entry; the last one is then called by its number instead, as `swap_remove` does it.
    /// Called before the entries themselves change.
    pub(crate) fn swap_remove(&mut self, tags: &[u16], at: usize) {
        let last = tags.len() - 1;
        let gone = self.place_of(tags, at);
        if last != at {
            let moved = self.place_of(tags, last);
            self.places[moved] = short(at);
        }
        self.close_gap(tags, gone, at);
    }

    /// As large as it need be for these.
    pub(crate) fn resize(&mut self, tags: &[u16]) {
        self.places = Vec::new();
        if !tags.is_empty() {
            self.places = vec![NONE; (tags.len() * 4).div_ceil(3) + 1];
            (0..tags.len()).for_each(|at| self.put(tags, at));
        }
    }

    /// How many entries there may be twice of in it.
    pub(crate) fn is_too_large(&self, len: usize) -> bool {
        self.places.len() > 16 && len * 2 < self.places.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<u16>()
    }

    /// Moves up what is further from its place than it need be. Where the entry `at` was, the last one is
    /// now meant.
    fn close_gap(&mut self, tags: &[u16], mut gap: usize, at: usize) {
        let last = tags.len() - 1;
        let mut place = gap;
        loop {
            place = self.after(place);
            let entry = self.places[place];
            if entry == NONE {
                break;
            }
            let entry = usize::from(entry);
            let tag = tags[if entry == at { last } else { entry }];
            if self.distance(self.wanted(tag), place) >= self.distance(gap, place) {
                self.places[gap] = self.places[place];
                gap = place;
            }
        }
        self.places[gap] = NONE;
    }

    fn put(&mut self, tags: &[u16], at: usize) {
        let mut place = self.wanted(tags[at]);
        while self.places[place] != NONE {
            place = self.after(place);
        }
        self.places[place] = short(at);
    }

    fn place_of(&self, tags: &[u16], at: usize) -> usize {
        let mut place = self.wanted(tags[at]);
        while self.places[place] != short(at) {
            debug_assert_ne!(self.places[place], NONE, "every entry has a place");
            place = self.after(place);
        }
        place
    }

    #[inline]
    fn wanted(&self, tag: u16) -> usize {
        (usize::from(tag) * self.places.len()) >> 16
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.places.len() { 0 } else { place + 1 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }
}

fn short(at: usize) -> u16 {
    u16::try_from(at).expect("no more entries than an index has")
}
