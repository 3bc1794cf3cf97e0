//! Sets of operations, small enough to be kept by the million.

const WORD: usize = u64::BITS as usize;

/// The completed operations that have been put in order: nearly always all of the first ones and
/// a few of those that follow, so the words that are full are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Done {
    full_words: usize,
    words: Vec<u64>,
}

impl Done {
    /// The first operation that is not in it.
    pub(super) fn first_missing(&self) -> usize {
        let ones = self.words.first().map_or(0, |word| word.trailing_ones() as usize);
        self.full_words * WORD + ones
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        match (index / WORD).checked_sub(self.full_words) {
            None => true,
            Some(word) => self.words.get(word).is_some_and(|word| word & bit(index) != 0),
        }
    }

    /// The last operation that is in it.
    pub(super) fn last(&self) -> Option<usize> {
        let ends = match self.words.last() {
            // The last word is never 0.
            Some(word) => {
                (self.full_words + self.words.len()) * WORD - word.leading_zeros() as usize
            }
            None => self.full_words * WORD,
        };
        ends.checked_sub(1)
    }

    /// With one more, which is not in it yet.
    pub(super) fn with(&self, index: usize) -> Self {
        let mut with = self.clone();
        let word = (index / WORD).saturating_sub(self.full_words);
        if with.words.len() <= word {
            with.words.resize(word + 1, 0);
        }
        with.words[word] |= bit(index);
        let full = with.words.iter().take_while(|word| **word == u64::MAX).count();
        with.full_words += full;
        with.words.drain(..full);
        with
    }
}

/// The optional operations that were taken to have had an effect and could still have it, in
/// order: a few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Used(Vec<usize>);

impl Used {
    pub(super) fn contains(&self, index: usize) -> bool {
        self.0.binary_search(&index).is_ok()
    }

    /// With one more, which is not in it yet.
    pub(super) fn with(&self, index: usize) -> Self {
        let at = self.0.partition_point(|other| *other < index);
        let mut with = Vec::with_capacity(self.0.len() + 1);
        with.extend(&self.0[..at]);
        with.push(index);
        with.extend(&self.0[at..]);
        Self(with)
    }

    pub(super) fn last(&self) -> Option<usize> {
        self.0.last().copied()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        self.0.retain(|index| keep(*index));
    }

    /// Whether those of its operations that count are in `other`, which may be the same.
    pub(super) fn is_within(&self, other: &Self, counts: impl Fn(usize) -> bool) -> bool {
        let mut others = other.0.iter();
        let mut own = self.0.iter().filter(|index| counts(**index));
        own.all(|index| others.any(|other| other == index))
    }
}

fn bit(index: usize) -> u64 {
    1 << (index % WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_equal_in_whatever_order_they_were_filled() {
        let fill = |order: &mut dyn Iterator<Item = usize>| {
            order.fold(Done::default(), |done, index| done.with(index))
        };
        let (up, down) = (fill(&mut (0..150)), fill(&mut (0..150).rev()));
        assert_eq!(up, down);
        assert_eq!((up.first_missing(), up.full_words, up.words.len()), (150, 2, 1));
        assert!(up.contains(0) && up.contains(149) && !up.contains(150) && !up.contains(500));
        let gap = fill(&mut (0..200).filter(|index| *index != 70));
        assert_eq!((gap.first_missing(), gap.with(70).first_missing()), (70, 200));
        let ends = |order: &[usize]| fill(&mut order.iter().copied()).last();
        assert_eq!((ends(&[]), ends(&[0]), ends(&[130, 5])), (None, Some(0), Some(130)));
        assert_eq!((fill(&mut (0..64)).last(), up.last()), (Some(63), Some(149)));
    }

    #[test]
    fn a_set_is_within_those_that_have_more() {
        let of = |all: &[usize]| all.iter().fold(Used::default(), |used, index| used.with(*index));
        let is_within = |own, other| of(own).is_within(&of(other), |index| index != 9);
        assert!(is_within(&[], &[]));
        assert!(is_within(&[3, 70], &[70, 3, 1]));
        assert!(is_within(&[3], &[3, 70]));
        assert!(!is_within(&[3, 70], &[3]));
        assert!(!is_within(&[4], &[3, 70]));
        assert!(is_within(&[3, 9], &[3]), "9 does not count");
        assert!(of(&[70]).contains(70) && !of(&[70]).contains(6));
        assert_eq!((of(&[]).last(), of(&[70, 3]).last()), (None, Some(70)));
    }
}
