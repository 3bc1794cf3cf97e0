//! Who waits, in the order in which they came.

use slab::Slab;

/// A line of waiters, first come, first served. Joining, leaving from anywhere and serving the first take
/// constant time each.
///
/// A waiter that is served keeps its place in the table, not in the line, until it is told.
#[derive(Debug)]
pub(crate) struct Line<W> {
    places: Slab<Place<W>>,
    first: Option<usize>,
    last: Option<usize>,
    len: usize,
    /// The cost of all in the line.
    queued: u128,
}

#[derive(Debug)]
struct Place<W> {
    cost: u64,
    waiter: W,
    /// Neighbours, while in the line.
    links: Option<Links>,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    ahead: Option<usize>,
    behind: Option<usize>,
}

impl<W> Line<W> {
    pub(crate) fn new() -> Self {
        Self { places: Slab::new(), first: None, last: None, len: 0, queued: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many have a place: those in the line, and those that were served and not told yet.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The cost of all in the line.
    pub(crate) fn queued(&self) -> u128 {
        self.queued
    }

    /// Joins the line at its end, and returns the key of the place.
    pub(crate) fn join(&mut self, cost: u64, waiter: W) -> usize {
        let links = Some(Links { ahead: self.last, behind: None });
        let key = self.places.insert(Place { cost, waiter, links });
        match self.last {
            Some(last) => self.links(last).behind = Some(key),
            None => self.first = Some(key),
        }
        self.last = Some(key);
        self.len += 1;
        self.queued += u128::from(cost);
        key
    }

    /// The cost of the first in the line.
    pub(crate) fn first(&self) -> Option<(usize, u64)> {
        self.first.map(|key| (key, self.places[key].cost))
    }

    /// All in the line from the first on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64, &W)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let key = next?;
            let place = &self.places[key];
            next = place.links.and_then(|links| links.behind);
            Some((key, place.cost, &place.waiter))
        })
    }

    /// The same from the last on.
    pub(crate) fn iter_back(&self) -> impl Iterator<Item = (usize, u64, &W)> {
        let mut next = self.last;
        std::iter::from_fn(move || {
            let key = next?;
            let place = &self.places[key];
            next = place.links.and_then(|links| links.ahead);
            Some((key, place.cost, &place.waiter))
        })
    }

    pub(crate) fn waiter(&mut self, key: usize) -> &mut W {
        &mut self.places[key].waiter
    }

    /// Takes a waiter out of the line, if it is in it, and leaves it in its place.
    pub(crate) fn leave(&mut self, key: usize) {
        let place = &mut self.places[key];
        let (cost, Some(Links { ahead, behind })) = (place.cost, place.links.take()) else {
            return;
        };
        match ahead {
            Some(ahead) => self.links(ahead).behind = behind,
            None => self.first = behind,
        }
        match behind {
            Some(behind) => self.links(behind).ahead = ahead,
            None => self.last = ahead,
        }
        self.len -= 1;
        self.queued -= u128::from(cost);
    }

    /// Gives up a place, in the line or not.
    pub(crate) fn remove(&mut self, key: usize) -> W {
        self.leave(key);
        self.places.remove(key).waiter
    }

    fn links(&mut self, key: usize) -> &mut Links {
        self.places[key].links.as_mut().expect("a neighbour is in the line")
    }
}
