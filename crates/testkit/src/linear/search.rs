//! The search for an order, of the operations of one partition.

use super::Model;
use super::sets::{Done, Used};
use std::collections::HashMap;
use std::rc::Rc;

/// One operation of the search. Without a return value it is *optional*: it has taken effect
/// between the two places, or not at all.
pub(super) struct Item<'a, O, R> {
    pub(super) op: &'a O,
    pub(super) invoked: u64,
    /// `u64::MAX`, if it has not returned.
    pub(super) returned: u64,
    pub(super) ret: Option<&'a R>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Found,
    None,
    OutOfSteps,
}

/// Which of the other operations are in order by now, and the state after them.
#[derive(PartialEq, Eq, Hash)]
struct Place<S> {
    done: Done,
    state: S,
}

/// A place, and the optional operations that led there beside the others.
struct Config<S> {
    place: Rc<Place<S>>,
    used: Used,
}

type Items<'a, M> = Vec<Item<'a, <M as Model>::Op, <M as Model>::Ret>>;

struct Search<'a, M: Model> {
    model: &'a M,
    /// Those that are part of each order.
    firm: Items<'a, M>,
    optional: Items<'a, M>,
    /// For each optional operation, when it and all before have returned.
    all_returned: Vec<u64>,
    /// For each place the ways that lead there: their optional operations. None is as good as
    /// another.
    seen: HashMap<Rc<Place<M::State>>, Vec<Used>>,
    /// To be looked at, the last first.
    now: Vec<Config<M::State>>,
    /// Those with one optional operation more, for when all of the others were in vain.
    later: Vec<Config<M::State>>,
    steps: u64,
}

/// Looks for an order of `items`, which are given in the order of their invocations. Says how many
/// steps it took: questions to the model, and comparisons of two ways to one place.
pub(super) fn search<M: Model>(
    model: &M,
    init: M::State,
    items: Items<'_, M>,
    max_steps: u64,
) -> (Outcome, u64) {
    let (firm, optional): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.ret.is_some());
    let latest = |latest: &mut u64, item: &Item<'_, _, _>| {
        *latest = item.returned.max(*latest);
        Some(*latest)
    };
    let all_returned = optional.iter().scan(0, latest).collect();
    let (seen, now, later) = (HashMap::new(), Vec::new(), Vec::new());
    let mut search = Search { model, firm, optional, all_returned, seen, now, later, steps: 0 };
    search.reach(Done::default(), init, Used::default(), false);
    let outcome = search.run(max_steps);
    (outcome, search.steps)
}

impl<M: Model> Search<'_, M> {
    fn run(&mut self, max_steps: u64) -> Outcome {
        loop {
            while let Some(config) = self.now.pop() {
                if config.place.done.first_missing() >= self.firm.len() {
                    return Outcome::Found;
                }
                if self.steps >= max_steps {
                    return Outcome::OutOfSteps;
                }
                // A better way may have been found since.
                if self.seen.get(&config.place).is_some_and(|ways| ways.contains(&config.used)) {
                    self.expand(&config);
                }
            }
            if self.later.is_empty() {
                return Outcome::None;
            }
            std::mem::swap(&mut self.now, &mut self.later);
        }
    }

    /// Puts each operation next that may come next: no other one that is missing may have
    /// returned before its invocation.
    fn expand(&mut self, config: &Config<M::State>) {
        let Place { done, state } = &*config.place;
        let mut next = Vec::new();
        let mut first_return = u64::MAX;
        for (index, item) in self.firm.iter().enumerate().skip(done.first_missing()) {
            if item.invoked > first_return {
                break;
            }
            if !done.contains(index) {
                next.push(index);
                first_return = first_return.min(item.returned);
            }
        }
        let invoked = self.last_invoked(done, &config.used);
        let first = self.all_returned.partition_point(|at| *at < invoked);
        for index in first..self.optional.len() {
            let item = &self.optional[index];
            if item.invoked > first_return {
                break;
            }
            if item.returned >= invoked && !config.used.contains(index) {
                self.steps += 1;
                for state in self.model.step(state, item.op, None) {
                    self.reach(done.clone(), state, config.used.with(index), true);
                }
            }
        }
        // The first one is looked at first: mostly that is the order in which they took effect.
        for index in next.into_iter().rev() {
            let Item { op, ret, .. } = self.firm[index];
            self.steps += 1;
            for state in self.model.step(state, op, ret) {
                self.reach(done.with(index), state, config.used.clone(), false);
            }
        }
    }

    /// The latest invocation of all that are in order: an optional operation that had returned by
    /// then can have no effect any more.
    fn last_invoked(&self, done: &Done, used: &Used) -> u64 {
        let firm = done.last().map_or(0, |index| self.firm[index].invoked);
        used.last().map_or(firm, |index| self.optional[index].invoked.max(firm))
    }

    /// Notes a place to be looked at, unless it was reached before in a way that leaves as much
    /// to follow: no later, and with no optional operation that this way still has.
    fn reach(&mut self, done: Done, state: M::State, mut used: Used, is_later: bool) {
        let invoked = self.last_invoked(&done, &used);
        // Of those that are over nobody need know whether they had an effect.
        used.retain(|index| self.optional[index].returned >= invoked);
        let place = Rc::new(Place { done, state });
        let mut ways = self.seen.remove(&place).unwrap_or_default();
        self.steps += ways.len() as u64;
        if !ways.iter().any(|way| self.is_as_good(&place.done, way, &used)) {
            ways.retain(|way| !self.is_as_good(&place.done, &used, way));
            ways.push(used.clone());
            let list = if is_later { &mut self.later } else { &mut self.now };
            list.push(Config { place: Rc::clone(&place), used });
        }
        self.seen.insert(place, ways);
    }

    /// Whether all that can follow the second way to a place can follow the first as well.
    ///
    /// The first is no later then: its last operation, if optional, is one of the second.
    fn is_as_good(&self, done: &Done, way: &Used, other: &Used) -> bool {
        let invoked = self.last_invoked(done, other);
        way.is_within(other, |index| self.optional[index].returned >= invoked)
    }
}
