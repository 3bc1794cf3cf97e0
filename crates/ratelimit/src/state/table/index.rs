//! Where in a table the entries of a hash are.

/// The most entries of one index. More would be further from their places than it is worth: there are only
/// 2^16 places to want.
pub(crate) const MOST: usize = 1 << 14;

/// How many places a bucket has.
const PLACES: usize = 16;

const NONE: u16 = u16::MAX;

/// An index of up to [`MOST`] entries that are kept elsewhere, each under a tag: 16 bits of its hash.
///
/// Open addressing by buckets, and without tombstones: what comes after a removed one moves up. An entry is
/// in the bucket that its tag wants, or in the next one that was not full. Their number is any, so that at
/// least three of four places are in use, and never more than seven of eight: one look-up in twenty goes on
/// to a second bucket.
///
/// A look-up compares all marks of a bucket at once, a byte of the tag each, and goes to the entry of the
/// one that is the same: it reads a bucket and an entry, and there is no branch that the processor cannot
/// foresee. The whole tags are read where the index changes only; so no key is hashed again when it grows.
#[derive(Debug, Default)]
pub(crate) struct Index {
    buckets: Box<[Bucket]>,
}

/// The free places come last. Their marks mean nothing.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Those of even places, and those of odd ones: see [`marked`](Self::marked).
    marks: [[u8; 8]; 2],
    entries: [u16; PLACES],
}

impl Bucket {
    const EMPTY: Self = Self { marks: [[0; 8]; 2], entries: [NONE; PLACES] };

    #[inline]
    fn is_full(&self) -> bool {
        self.entries[PLACES - 1] != NONE
    }

    fn len(&self) -> usize {
        self.entries.iter().position(|entry| *entry == NONE).unwrap_or(PLACES)
    }

    /// The places with that mark: four bits each, one of which is set. Now and then it is one of another
    /// place as well.
    #[inline]
    fn marked(&self, mark: u8) -> u64 {
        let all = u64::from_le_bytes([mark; 8]);
        let [even, odd] = self.marks.map(|marks| zeros(u64::from_le_bytes(marks) ^ all));
        even >> 7 | odd >> 3
    }

    fn push(&mut self, tag: u16, entry: u16) {
        self.set(self.len(), mark(tag), entry);
    }

    fn mark(&self, place: usize) -> u8 {
        self.marks[place % 2][place / 2]
    }

    fn set(&mut self, place: usize, mark: u8, entry: u16) {
        (self.marks[place % 2][place / 2], self.entries[place]) = (mark, entry);
    }

    fn swap_remove(&mut self, place: usize) {
        let last = self.len() - 1;
        self.set(place, self.mark(last), self.entries[last]);
        self.entries[last] = NONE;
    }
}

impl Index {
    /// The entry of that tag which `is_it`. It may be asked about entries that there are none of.
    #[inline]
    pub(crate) fn find(&self, tag: u16, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.wanted(tag);
        loop {
            let bucket = &self.buckets[at];
            let mut marked = bucket.marked(mark(tag));
            while marked != 0 {
                let entry = usize::from(bucket.entries[marked.trailing_zeros() as usize / 4]);
                if is_it(entry) {
                    return Some(entry);
                }
                marked &= marked - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Adds the last entry of `tags`.
    pub(crate) fn add_last(&mut self, tags: &[u16]) {
        if tags.len() * 8 > self.buckets.len() * PLACES * 7 {
            self.resize(tags);
        } else {
            self.put(tags, tags.len() - 1);
        }
    }

    /// Takes out an entry; the last one is then called by its number instead, as `swap_remove` does it.
    /// Called before the entries themselves change.
    pub(crate) fn swap_remove(&mut self, tags: &[u16], at: usize) {
        let last = tags.len() - 1;
        let (bucket, place) = self.place_of(tags, at);
        if last != at {
            let (bucket, place) = self.place_of(tags, last);
            self.buckets[bucket].entries[place] = short(at);
        }
        self.close_gap(tags, bucket, place, at);
    }

    /// As large as it need be for these.
    pub(crate) fn resize(&mut self, tags: &[u16]) {
        self.buckets = Box::default();
        if !tags.is_empty() {
            self.buckets = vec![Bucket::EMPTY; needed(tags.len())].into();
            (0..tags.len()).for_each(|at| self.put(tags, at));
        }
    }

    /// Whether half of it would do for so many entries.
    pub(crate) fn is_too_large(&self, len: usize) -> bool {
        self.buckets.len() >= needed(len) * 2
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Moves up what is further from the bucket that it wants than it need be. Where the entry `at` was, the
    /// last one is now meant.
    fn close_gap(&mut self, tags: &[u16], bucket: usize, place: usize, at: usize) {
        let last = tags.len() - 1;
        let (mut gap, mut gap_place) = (bucket, place);
        let mut next = gap;
        // Nothing was put further on than into one that is not full.
        while self.buckets[next].is_full() {
            next = self.after(next);
            let moves_up = |entry: u16| {
                let entry = usize::from(entry);
                let tag = tags[if entry == at { last } else { entry }];
                self.distance(self.wanted(tag), next) >= self.distance(gap, next)
            };
            let from = self.buckets[next];
            let used = &from.entries[..from.len()];
            if let Some(place) = used.iter().position(|entry| moves_up(*entry)) {
                self.buckets[gap].set(gap_place, from.mark(place), from.entries[place]);
                (gap, gap_place) = (next, place);
            }
        }
        self.buckets[gap].swap_remove(gap_place);
    }

    fn put(&mut self, tags: &[u16], at: usize) {
        let mut bucket = self.wanted(tags[at]);
        while self.buckets[bucket].is_full() {
            bucket = self.after(bucket);
        }
        self.buckets[bucket].push(tags[at], short(at));
    }

    fn place_of(&self, tags: &[u16], at: usize) -> (usize, usize) {
        let mut bucket = self.wanted(tags[at]);
        loop {
            let Bucket { entries, .. } = &self.buckets[bucket];
            if let Some(place) = entries.iter().position(|entry| *entry == short(at)) {
                return (bucket, place);
            }
            debug_assert!(self.buckets[bucket].is_full(), "every entry has a place");
            bucket = self.after(bucket);
        }
    }

    #[inline]
    fn wanted(&self, tag: u16) -> usize {
        (usize::from(tag) * self.buckets.len()) >> 16
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.buckets.len() - from }
    }
}

/// How many buckets there are for so many entries.
fn needed(len: usize) -> usize {
    ((len * 4).div_ceil(3) + 1).div_ceil(PLACES)
}

/// The bits of a tag that have no say in which bucket it wants, if there are few.
#[inline]
fn mark(tag: u16) -> u8 {
    tag.to_le_bytes()[0]
}

/// The highest bit of each byte that is zero, and perhaps of one above such a byte.
#[inline]
fn zeros(bytes: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    bytes.wrapping_sub(ONES) & !bytes & (ONES << 7)
}

fn short(at: usize) -> u16 {
    u16::try_from(at).expect("no more entries than an index has")
}
