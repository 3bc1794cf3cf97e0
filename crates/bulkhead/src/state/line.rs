//! Who waits, by class, in the order in which they came.

use crate::Priority;
use slab::Slab;

/// Lines of waiters, one for each class. Joining, leaving from anywhere, and finding the first and the last
/// take constant time each.
///
/// A waiter that leaves its line keeps its place in the table until that is removed.
#[derive(Debug)]
pub(super) struct Lines<W> {
    places: Slab<Linked<W>>,
    ends: [Ends; Priority::CLASSES],
    len: usize,
    /// The weight of all who wait.
    weight: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    first: Option<usize>,
    last: Option<usize>,
}

#[derive(Debug)]
struct Linked<W> {
    class: usize,
    weight: u32,
    waiter: W,
    /// Neighbours, while in the line.
    links: Option<Links>,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    ahead: Option<usize>,
    behind: Option<usize>,
}

impl<W> Lines<W> {
    pub(super) fn new() -> Self {
        Self { places: Slab::new(), ends: [Ends::default(); Priority::CLASSES], len: 0, weight: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Joins the end of the line of a class, and returns the key of the place.
    pub(super) fn join(&mut self, class: usize, weight: u32, waiter: W) -> usize {
        let ahead = self.ends[class].last;
        let links = Some(Links { ahead, behind: None });
        let key = self.places.insert(Linked { class, weight, waiter, links });
        match ahead {
            Some(last) => self.links(last).behind = Some(key),
            None => self.ends[class].first = Some(key),
        }
        self.ends[class].last = Some(key);
        self.len += 1;
        self.weight += u64::from(weight);
        key
    }

    /// Who came first of those of a class.
    pub(super) fn first(&self, class: usize) -> Option<usize> {
        self.ends[class].first
    }

    /// Who came last of those of a class.
    pub(super) fn last(&self, class: usize) -> Option<usize> {
        self.ends[class].last
    }

    /// All who wait, class by class.
    pub(super) fn keys(&self) -> impl Iterator<Item = usize> {
        self.ends.iter().flat_map(|ends| {
            let links = |key: usize| self.places[key].links;
            std::iter::successors(ends.first, move |key| links(*key)?.behind)
        })
    }

    pub(super) fn class(&self, key: usize) -> usize {
        self.places[key].class
    }

    pub(super) fn weight_of(&self, key: usize) -> u32 {
        self.places[key].weight
    }

    pub(super) fn waiter(&self, key: usize) -> &W {
        &self.places[key].waiter
    }

    pub(super) fn waiter_mut(&mut self, key: usize) -> &mut W {
        &mut self.places[key].waiter
    }

    /// All who have a place, in the line or not.
    pub(super) fn waiters_mut(&mut self) -> impl Iterator<Item = &mut W> {
        self.places.iter_mut().map(|(_, place)| &mut place.waiter)
    }

    /// Takes a waiter out of its line, if it is in it, and leaves it in its place.
    pub(super) fn leave(&mut self, key: usize) {
        let place = &mut self.places[key];
        let (class, weight) = (place.class, place.weight);
        let Some(Links { ahead, behind }) = place.links.take() else { return };
        match ahead {
            Some(ahead) => self.links(ahead).behind = behind,
            None => self.ends[class].first = behind,
        }
        match behind {
            Some(behind) => self.links(behind).ahead = ahead,
            None => self.ends[class].last = ahead,
        }
        self.len -= 1;
        self.weight -= u64::from(weight);
    }

    /// Gives up a place, in the line or not.
    pub(super) fn remove(&mut self, key: usize) -> W {
        self.leave(key);
        self.places.remove(key).waiter
    }

    fn links(&mut self, key: usize) -> &mut Links {
        self.places[key].links.as_mut().expect("a neighbour is in the line")
    }
}
