//! Who waits for whom, and whether anybody can go on.
//!
//! Work that waits for several things at once may be content with any of them, so it is stuck
//! only if each of them is. A resource is stuck if it is held, and everybody who holds a part of
//! it is stuck: whoever is not may give it back. A scope that joins is stuck if any of its
//! children is. What is stuck by these rules, taken as the largest set that agrees with
//! itself, can go on only by what the graph does not know, such as a timer in a `select!`.

use std::collections::{HashMap, HashSet};

/// What one wait needs in order to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Something that is not known; it may come.
    Unknown,
    /// That any of these goes on: the holders of a resource.
    AnyOf(Vec<usize>),
    /// That all of these go on: the children of a scope.
    AllOf(Vec<usize>),
}

/// The waits of each work that waits. Numbers stand for work.
pub(super) type Waits = HashMap<usize, Vec<Needs>>;

/// The work that is stuck.
pub(super) fn stuck(waits: &Waits) -> HashSet<usize> {
    let mut stuck: HashSet<_> =
        waits.iter().filter(|(_, needs)| !needs.is_empty()).map(|(work, _)| *work).collect();
    // Who may be freed by the end of each: looked at again when that one turns out to be free.
    let mut freed_by = HashMap::<_, Vec<_>>::new();
    for (work, needs) in waits {
        for other in needs.iter().flat_map(Needs::all) {
            freed_by.entry(*other).or_default().push(*work);
        }
    }
    let mut doubtful: Vec<_> = stuck.iter().copied().collect();
    while let Some(work) = doubtful.pop() {
        if stuck.contains(&work) && !waits[&work].iter().all(|needs| needs.is_stuck(&stuck)) {
            stuck.remove(&work);
            doubtful.extend(freed_by.get(&work).into_iter().flatten());
        }
    }
    stuck
}

/// One circle for each part of the graph that is stuck, the lowest number first.
pub(super) fn cycles(waits: &Waits) -> Vec<Vec<usize>> {
    let stuck = stuck(waits);
    let mut seen = HashSet::new();
    let mut cycles = Vec::new();
    let mut starts: Vec<_> = stuck.iter().copied().collect();
    starts.sort_unstable();
    for start in starts {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(work) = next.filter(|work| seen.insert(*work)) {
            path.push(work);
            let others = waits[&work].iter().flat_map(Needs::all);
            next = others.copied().find(|other| stuck.contains(other));
        }
        // A path that ends in itself is new; one that ends in an older path is not.
        let closes = next.and_then(|next| path.iter().position(|work| *work == next));
        if let Some(first) = closes {
            let mut cycle = path.split_off(first);
            let lowest = (0..cycle.len()).min_by_key(|n| cycle[*n]).unwrap_or(0);
            cycle.rotate_left(lowest);
            cycles.push(cycle);
        }
    }
    cycles
}

impl Needs {
    fn all(&self) -> &[usize] {
        match self {
            Self::Unknown => &[],
            Self::AnyOf(work) | Self::AllOf(work) => work,
        }
    }

    fn is_stuck(&self, stuck: &HashSet<usize>) -> bool {
        match self {
            Self::Unknown => false,
            Self::AnyOf(work) => !work.is_empty() && work.iter().all(|work| stuck.contains(work)),
            Self::AllOf(work) => work.iter().any(|work| stuck.contains(work)),
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::{
        Needs::{AllOf, AnyOf, Unknown},
        *,
    };
    use proptest::prelude::*;

    fn cycles_of(waits: &[(usize, &[Needs])]) -> Vec<Vec<usize>> {
        cycles(&waits.iter().map(|(work, needs)| (*work, needs.to_vec())).collect())
    }

    #[test]
    fn two_that_wait_for_each_other_are_a_circle() {
        let one = |other| [AnyOf(vec![other])];
        assert_eq!(cycles_of(&[(1, &one(2)), (2, &one(1)), (3, &one(1))]), [[1, 2]]);
        assert_eq!(cycles_of(&[(1, &one(1))]), [[1]]);
        assert!(cycles_of(&[(1, &one(2)), (2, &one(3))]).is_empty(), "3 goes on");
    }

    #[test]
    fn a_way_out_is_no_circle() {
        let one = |other| AnyOf(vec![other]);
        assert!(cycles_of(&[(1, &[one(2), Unknown]), (2, &[one(1)])]).is_empty());
        assert!(cycles_of(&[(1, &[AnyOf(vec![2, 3])]), (2, &[one(1)])]).is_empty(), "3 holds too");
        assert!(cycles_of(&[(1, &[AnyOf(vec![])])]).is_empty(), "nobody holds it");
    }

    #[test]
    fn a_join_needs_all() {
        let join = [AllOf(vec![2, 3])];
        assert_eq!(cycles_of(&[(1, &join), (2, &[AnyOf(vec![1])])]), [[1, 2]]);
        assert!(cycles_of(&[(1, &join), (2, &[Unknown])]).is_empty());
    }

    fn waits() -> impl Strategy<Value = Waits> {
        let others = || prop::collection::vec(0..8_usize, 0..4);
        let needs = prop_oneof![
            1 => Just(Unknown),
            6 => others().prop_map(AnyOf),
            2 => others().prop_map(AllOf),
        ];
        prop::collection::hash_map(0..8_usize, prop::collection::vec(needs, 0..3), 0..8)
    }

    proptest! {
        /// Whoever can go on does, one after the other, until nobody can: the rest is stuck.
        #[test]
        fn agrees_with_letting_everybody_go_on(waits in waits()) {
            let mut left: HashSet<usize> = (0..8).collect();
            loop {
                let goes_on = |work: &usize| match waits.get(work) {
                    None => true,
                    Some(needs) => needs.is_empty() || needs.iter().any(|needs| match needs {
                        Unknown => true,
                        AnyOf(work) => work.is_empty() || !work.iter().all(|w| left.contains(w)),
                        AllOf(work) => !work.iter().any(|w| left.contains(w)),
                    }),
                };
                let Some(work) = left.iter().copied().find(goes_on) else { break };
                left.remove(&work);
            }
            prop_assert_eq!(&stuck(&waits), &left);
            let cycles = cycles(&waits);
            prop_assert_eq!(cycles.is_empty(), left.is_empty());
            for cycle in cycles {
                for (n, work) in cycle.iter().enumerate() {
                    let next = cycle[(n + 1) % cycle.len()];
                    prop_assert!(waits[work].iter().any(|needs| needs.all().contains(&next)));
                }
            }
        }
    }
}
