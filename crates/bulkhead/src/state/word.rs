//! How much is in use, in one atomic word, for as long as nothing but the word has to be looked at.

use tidegate_core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// The word is closed: what is behind the lock counts.
const CLOSED: u64 = 1 << 63;

/// A capacity, and how much of it is in use: more than all of it for a while after it was made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) capacity: u32,
    pub(crate) in_use: u32,
}

impl Count {
    /// Neither number is larger.
    pub(crate) const MAX: u32 = (1 << 31) - 1;

    pub(crate) fn new(capacity: u32) -> Self {
        Self { capacity, in_use: 0 }
    }

    /// Whether `n` more can be taken now.
    #[inline]
    pub(crate) fn fits(self, n: u32) -> bool {
        n <= self.free()
    }

    /// How much can be taken now.
    #[inline]
    pub(crate) fn free(self) -> u32 {
        self.capacity.saturating_sub(self.in_use)
    }

    fn bits(self) -> u64 {
        u64::from(self.capacity) << 32 | u64::from(self.in_use)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the word")]
    fn of(bits: u64) -> Self {
        Self { capacity: ((bits & !CLOSED) >> 32) as u32, in_use: bits as u32 }
    }
}

/// What the word alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// There is too little.
    Not(Count),
    /// Whoever holds the lock knows.
    Ask,
}

/// A [`Count`] in one word: taking is one compare-and-swap, and giving back one subtraction.
///
/// | state | takes | gives back | changes all else |
/// |---|---|---|---|
/// | open | anybody | anybody | nobody |
/// | closed | who holds the lock | anybody, who then sees to it with the lock that somebody enters | who holds the lock |
///
/// Who holds the lock closes the word, and decides by the count that it had then: meanwhile more can have come
/// back, and nothing else has happened. The word is opened again unless somebody waits: for permits, for whom
/// whoever comes has to join the line, or for all of them to have come back.
#[derive(Debug)]
pub(crate) struct Word(Alone);

/// On a cache line of its own: who reads what stands beside it is not held up by who writes it.
#[derive(Debug)]
#[repr(align(64))]
struct Alone(AtomicU64);

impl Word {
    pub(crate) fn open(count: Count) -> Self {
        Self(Alone(AtomicU64::new(count.bits())))
    }

    /// Takes `n`, if the word can say so.
    #[inline]
    pub(crate) fn take(&self, n: u32) -> Taken {
        let mut bits = self.0.0.load(Relaxed);
        loop {
            if bits & CLOSED != 0 {
                return Taken::Ask;
            }
            let count = Count::of(bits);
            if !count.fits(n) {
                return Taken::Not(count);
            }
            match self.0.0.compare_exchange_weak(bits, bits + u64::from(n), AcqRel, Relaxed) {
                Ok(_) => return Taken::Yes,
                Err(other) => bits = other,
            }
        }
    }

    /// Gives `n` back, which were taken; says whether that is all there is to do.
    #[inline]
    #[must_use = "somebody may wait for them"]
    pub(crate) fn give_back(&self, n: u32) -> bool {
        let before = self.0.0.fetch_sub(u64::from(n), AcqRel);
        debug_assert!(Count::of(before).in_use >= n, "more comes back than was taken");
        before & CLOSED == 0
    }

    /// For who holds the lock: from now on nobody else takes anything.
    pub(crate) fn close(&self) -> Closed {
        let before = self.0.0.fetch_or(CLOSED, AcqRel) | CLOSED;
        Closed { before, count: Count::of(before) }
    }

    /// For who holds the lock and has closed it: changes the count to that one, but for what has come back
    /// since it was closed.
    pub(crate) fn set(&self, closed: Closed, count: Count, opens: bool) {
        let after = count.bits() | if opens { 0 } else { CLOSED };
        // What is out is never less than what can come back: no borrow gets beyond the lower half.
        self.0.0.fetch_add(after.wrapping_sub(closed.before), AcqRel);
    }

    /// What the count is at this moment.
    pub(crate) fn count(&self) -> Count {
        Count::of(self.0.0.load(Acquire))
    }
}

/// The word as it was when it was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    before: u64,
    pub(crate) count: Count,
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_open_word_takes_and_gives_back() {
        let word = Word::open(Count::new(3));
        assert_eq!(word.take(2), Taken::Yes);
        assert_eq!(word.take(2), Taken::Not(Count { capacity: 3, in_use: 2 }));
        assert_eq!(word.take(1), Taken::Yes);
        assert!(word.give_back(3));
        assert_eq!(word.count(), Count::new(3));
    }

    #[test]
    fn a_closed_word_takes_nothing_and_takes_back() {
        let word = Word::open(Count::new(3));
        assert_eq!(word.take(3), Taken::Yes);
        let closed = word.close();
        assert_eq!(closed.count, Count { capacity: 3, in_use: 3 });
        assert_eq!(word.take(1), Taken::Ask);
        assert!(!word.give_back(1), "somebody has to be let in");
        // One was let in meanwhile, by what was known.
        word.set(closed, Count { capacity: 5, in_use: 4 }, false);
        assert_eq!((word.count(), word.take(0)), (Count { capacity: 5, in_use: 3 }, Taken::Ask));
        let shrunk = Count { capacity: 1, in_use: 3 };
        let closed = word.close();
        word.set(closed, shrunk, true);
        assert_eq!(word.take(1), Taken::Not(shrunk));
        assert_eq!(shrunk.free(), 0);
        assert!(word.give_back(3));
        assert_eq!(word.count(), Count::new(1));
    }

    #[test]
    fn the_largest_numbers_fit() {
        let word = Word::open(Count::new(Count::MAX));
        assert_eq!(word.take(Count::MAX), Taken::Yes);
        assert!(matches!(word.take(Count::MAX), Taken::Not(_)));
        let closed = word.close();
        assert!(!word.give_back(Count::MAX));
        word.set(closed, Count { capacity: 1, in_use: Count::MAX }, true);
        assert_eq!(word.count(), Count::new(1));
    }
}
