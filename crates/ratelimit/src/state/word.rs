//! A cell in one atomic word, for as long as nothing but the word has to be looked at.

use super::{Gcra, Scale};
use tidegate_core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The word is closed: the state behind the lock counts.
const CLOSED: u64 = u64::MAX;

/// A step back of the clock from which on the cell behind the lock has to decide: see [`Gcra`].
const STEP_BACK: u64 = 1_000_000_000;

/// The arrival time of a [`Gcra`] in one word, which is taken from by one compare-and-swap.
///
/// | state | who may change it | the arrival time is |
/// |---|---|---|
/// | open | anybody, by compare-and-swap | the word |
/// | closed | who holds the lock | in the cell behind the lock |
///
/// Who holds the lock closes the word before it looks at the cell, and opens it again unless somebody
/// waits, for which whoever comes has to join the line.
///
/// What the word means, its scale, stands beside it and is changed while the word is closed. Each scale
/// has a range of words of its own, above those of all scales before: if a compare-and-swap finds the word
/// that was loaded before the scale was, then the scale belongs to the word. There is no other check, and
/// no counter of versions to wrap.
#[derive(Debug)]
pub(crate) struct Word {
    tat: Alone,
    /// The time, in nanoseconds, and the word that stands for it.
    origin: AtomicU64,
    base: AtomicU64,
    tick: AtomicU64,
    token: AtomicU64,
    burst: AtomicU64,
    /// Whether the last attempt did not pass, so that the next is likely not to.
    is_spent: AtomicBool,
    /// No word of this scale that was opened, and none that was closed, was above it: nothing that was
    /// taken makes it less. Only for who holds the lock.
    top: AtomicU64,
}

/// The word that everybody writes to, and nothing that anybody reads besides: on two cache lines, which
/// processors fetch together.
#[derive(Debug)]
#[repr(align(128))]
struct Alone(AtomicU64);

/// A word that was there at some time.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Seen(u64);

impl Seen {
    /// By a closed word nobody is refused.
    const NOTHING: Self = Self(CLOSED);
}

/// What has become of an attempt to take from the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it, at this time.
    Yes { at: u64 },
    /// Nothing: there is enough after so many nanoseconds, and so much now.
    Not { wait: u64, remaining: u64 },
    /// The cell behind the lock has to say.
    Ask,
}

impl Word {
    /// A closed one.
    pub(crate) fn closed() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            tat: Alone(AtomicU64::new(CLOSED)),
            origin: zero(),
            base: zero(),
            tick: zero(),
            token: zero(),
            burst: zero(),
            is_spent: AtomicBool::new(false),
            top: zero(),
        }
    }

    /// Takes `cost` tokens at `now`; does not tell why not.
    #[inline]
    pub(crate) fn take(&self, now: u64, cost: u64) -> bool {
        matches!(self.try_take(Seen::NOTHING, now, cost), Taken::Yes { .. })
    }

    /// The word as it is, for [`try_take`](Self::try_take), if that is likely to refuse. If it is not, a look
    /// would be no more than a reason for the word to go from one processor to another.
    #[inline]
    pub(crate) fn look(&self) -> Seen {
        if self.is_spent.load(Relaxed) { Seen(self.tat.0.load(Acquire)) } else { Seen::NOTHING }
    }

    /// Takes `cost` tokens at `now`, or tells why not if the word is the one that was
    /// [seen](Self::look) before the time was read: then it was what it is refused by at that time. If it
    /// is another, [`decide`](Self::decide) has to tell.
    ///
    /// Small enough to become part of whoever asks. The time comes in instead of being read here: between
    /// the load and the swap there is as little as can be, or another thread comes in between.
    #[inline]
    pub(crate) fn try_take(&self, seen: Seen, now: u64, cost: u64) -> Taken {
        let mut word = self.tat.0.load(Acquire);
        // A closed word is above all that may be: nothing is added to it.
        while let Some(sum) = Sum::of(self, word, now, cost) {
            if !sum.passes() {
                // The second look is for the scale, which was loaded after the first.
                let is_same = word == seen.0 && sum.is_plain() && self.tat.0.load(Acquire) == word;
                return if is_same { sum.refusal() } else { Taken::Ask };
            }
            match self.tat.0.compare_exchange_weak(word, sum.next, AcqRel, Acquire) {
                Ok(_) => {
                    // Written when it changes only: whoever takes from the word reads this line.
                    if seen != Seen::NOTHING {
                        self.is_spent.store(false, Relaxed);
                    }
                    return Taken::Yes { at: now };
                }
                Err(other) => word = other,
            }
        }
        Taken::Ask
    }

    /// Takes `cost` tokens, or tells why not, if the word is open and it is a plain case.
    ///
    /// A refusal is by a time at which the word was what it is refused by: others may have taken what came
    /// back after a time that was read before, and have left enough.
    #[inline]
    pub(crate) fn decide(&self, now: impl Fn() -> u64, cost: u64) -> Taken {
        let mut word = self.tat.0.load(Acquire);
        loop {
            if word == CLOSED {
                return Taken::Ask;
            }
            let at = now();
            let Some(sum) = Sum::of(self, word, at, cost) else { return Taken::Ask };
            let found = if sum.passes() {
                match self.tat.0.compare_exchange_weak(word, sum.next, AcqRel, Acquire) {
                    Ok(_) => return Taken::Yes { at },
                    Err(other) => other,
                }
            } else {
                if !sum.is_plain() {
                    return Taken::Ask;
                }
                // Nothing is written that would tell whether the scale, and the time, were those of the word.
                match self.tat.0.load(Acquire) {
                    same if same == word => {
                        // Written when it changes only, as above.
                        if !self.is_spent.load(Relaxed) {
                            self.is_spent.store(true, Relaxed);
                        }
                        return sum.refusal();
                    }
                    other => other,
                }
            };
            word = found;
        }
    }

    /// Closes the word, and brings the cell up to what was taken from it. Only with the lock held.
    pub(crate) fn close(&self, cell: &mut Gcra) {
        let word = self.tat.0.swap(CLOSED, AcqRel);
        if word != CLOSED {
            self.top.store(self.top.load(Relaxed).max(word), Relaxed);
            cell.catch_up(self.tat(word));
        }
    }

    /// Opens the word at `now`, if one can tell the cell. Only with the lock held.
    pub(crate) fn open(&self, cell: &Gcra, now: u64) {
        if !self.has_scale(cell.scale()) && self.change(cell.scale(), now).is_none() {
            return;
        }
        // No word stands for a time before the origin: until the clock is past it, the cell decides.
        if now < self.origin.load(Relaxed) {
            return;
        }
        let origin = cell.scale().time(self.origin.load(Relaxed));
        let ahead = u64::try_from(cell.tat().saturating_sub(origin)).ok();
        let word = ahead.and_then(|ahead| self.base.load(Relaxed).checked_add(ahead));
        if let Some(word) = word.filter(|word| *word != CLOSED) {
            self.top.store(self.top.load(Relaxed).max(word), Relaxed);
            self.tat.0.store(word, Release);
        }
    }

    fn tat(&self, word: u64) -> u128 {
        let (origin, tick) = (self.origin.load(Relaxed), self.tick.load(Relaxed));
        u128::from(origin) * u128::from(tick) + u128::from(word - self.base.load(Relaxed))
    }

    fn has_scale(&self, scale: &Scale) -> bool {
        (self.tick.load(Relaxed), self.token.load(Relaxed), u128::from(self.burst.load(Relaxed)))
            == (scale.tick, scale.token, scale.burst)
    }

    /// Gives the words a new scale, and a range above all that were before; none, if there is no such
    /// range.
    fn change(&self, scale: &Scale, now: u64) -> Option<()> {
        let burst = u64::try_from(scale.burst).ok()?;
        let top = self.base.load(Relaxed).max(self.top.load(Relaxed));
        self.base.store(top.checked_add(1)?, Release);
        self.origin.store(now, Release);
        self.tick.store(scale.tick, Release);
        self.token.store(scale.token, Release);
        self.burst.store(burst, Release);
        Some(())
    }
}

/// What an attempt comes to, in words.
struct Sum {
    /// The word as it is, and as it would be.
    word: u64,
    next: u64,
    /// The words that stand for the time, and for the latest arrival time at it.
    time: u64,
    most: u64,
    burst: u64,
    cost: u64,
    tick: u64,
    token: u64,
}

impl Sum {
    /// None, if it takes more than one word to tell.
    #[inline]
    fn of(words: &Word, word: u64, now: u64, cost: u64) -> Option<Self> {
        // Loaded after the word, so that they are of its scale or a later one.
        let (origin, base) = (words.origin.load(Acquire), words.base.load(Acquire));
        let (tick, token) = (words.tick.load(Acquire), words.token.load(Acquire));
        let burst = words.burst.load(Acquire);
        let since = now.checked_sub(origin)?;
        // Most rates have units of a nanosecond, and a branch that is foreseen takes no time.
        let since = if tick == 1 { since } else { since.checked_mul(tick)? };
        let time = since.checked_add(base)?;
        let most = time.checked_add(burst).filter(|most| *most != CLOSED)?;
        let cost = if cost == 1 { token } else { cost.checked_mul(token)? };
        let next = word.max(time).checked_add(cost)?;
        Some(Self { word, next, time, most, burst, cost, tick, token })
    }

    #[inline]
    fn passes(&self) -> bool {
        self.next <= self.most
    }

    /// Whether it is refused for now, and for no other reason than what was taken.
    #[inline]
    fn is_plain(&self) -> bool {
        let latest = self.tick.checked_mul(STEP_BACK).and_then(|back| back.checked_add(self.most));
        self.tick > 0
            && self.cost > 0
            && self.cost <= self.burst
            && latest.is_some_and(|at| self.word <= at)
    }

    /// Of a plain refusal. Who is refused may ask again and again: it divides where it has to only.
    #[inline]
    fn refusal(&self) -> Taken {
        // Both are less than a burst and its time.
        let wait = self.next - self.most;
        let wait = if self.tick == 1 { wait } else { wait.div_ceil(self.tick) };
        let left = self.most.saturating_sub(self.word.max(self.time));
        let remaining = if left < self.token { 0 } else { left / self.token };
        Taken::Not { wait, remaining }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use crate::{Quota, Rate};

    /// Who has seen the word of before may still be about to swap it.
    #[test]
    fn no_word_of_a_scale_is_one_of_a_later_scale_though_the_clock_was_set_back() {
        let mut cell = Gcra::new(Quota::new(Rate::per_second(1), 1)).unwrap();
        let word = Word::closed();
        word.open(&cell, 0);
        assert!(word.take(100_000_000_000, 1));
        let old = word.tat.0.load(Relaxed);
        word.close(&mut cell);
        cell.change(0, Scale::new(Quota::new(Rate::per_second(2), 1)).unwrap());
        word.open(&cell, 0);
        assert!(word.tat.0.load(Relaxed) > old && word.base.load(Relaxed) > old);
    }
}
