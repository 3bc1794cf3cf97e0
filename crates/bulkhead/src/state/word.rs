//! How much is in use, in one atomic word, for as long as nothing but the word has to be looked at.

use tidegate_core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
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

/// A [`Count`] in one word: taking and giving back are one compare-and-swap each.
///
/// | state | who may change it | the count is |
/// |---|---|---|
/// | open | anybody, by compare-and-swap | the word |
/// | closed | who holds the lock | behind the lock; the word tells what it was when the lock was released |
///
/// Who holds the lock closes the word before looking at the count, and opens it again unless somebody
/// waits: for permits, for whom whoever comes has to join the line, or for all of them to have come back.
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

    /// Gives `n` back, if the word is open; otherwise whoever holds the lock has to.
    #[inline]
    pub(crate) fn give_back(&self, n: u32) -> bool {
        let mut bits = self.0.0.load(Relaxed);
        while bits & CLOSED == 0 {
            debug_assert!(Count::of(bits).in_use >= n, "more comes back than was taken");
            match self.0.0.compare_exchange_weak(bits, bits - u64::from(n), AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(other) => bits = other,
            }
        }
        false
    }

    /// For who holds the lock: nobody else changes the count from now on. The count, if it was open.
    pub(crate) fn close(&self) -> Option<Count> {
        let bits = self.0.0.fetch_or(CLOSED, AcqRel);
        (bits & CLOSED == 0).then(|| Count::of(bits))
    }

    /// For who holds the lock and has closed it: says what the count is, and whether everybody may
    /// change it again.
    pub(crate) fn set(&self, count: Count, opens: bool) {
        let closed = if opens { 0 } else { CLOSED };
        self.0.0.store(count.bits() | closed, Release);
    }

    /// What the count is, or was when the lock was last released.
    pub(crate) fn count(&self) -> Count {
        Count::of(self.0.0.load(Acquire))
    }
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
    fn a_closed_word_says_nothing_and_is_closed_once() {
        let word = Word::open(Count::new(3));
        assert_eq!(word.close(), Some(Count::new(3)));
        assert_eq!(word.close(), None);
        assert_eq!((word.take(1), word.give_back(1)), (Taken::Ask, false));
        let shrunk = Count { capacity: 1, in_use: 3 };
        word.set(shrunk, false);
        assert_eq!((word.count(), word.take(0)), (shrunk, Taken::Ask));
        word.set(shrunk, true);
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
        assert!(word.give_back(Count::MAX));
        assert_eq!(word.count(), Count::new(Count::MAX));
    }
}
