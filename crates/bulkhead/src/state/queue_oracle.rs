//! A queue that keeps everything in one list, and looks at all of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{
    Asked, Joined, Place, Queue, Rules, Settled,
    queue_tests::{CLASSES, Ids, join},
};
use crate::{AcquireError, Order};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Join {
        weight: u32,
        class: usize,
        within: Option<u64>,
    },
    TryTake(u32),
    /// Of those who are in, or who wait, the one at that place in order of coming.
    Release(usize),
    Cancel(usize),
    Expire(usize),
    Resize(u32),
    Pass(u64),
    Close,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        9 => (0..6_u32, 0..4_usize, prop::option::weighted(0.2, 0..40_u64))
            .prop_map(|(weight, class, within)| Op::Join { weight, class, within }),
        2 => (0..6_u32).prop_map(Op::TryTake),
        7 => any::<usize>().prop_map(Op::Release),
        2 => any::<usize>().prop_map(Op::Cancel),
        1 => any::<usize>().prop_map(Op::Expire),
        1 => (1..7_u32).prop_map(Op::Resize),
        4 => (0..10_u64).prop_map(Op::Pass),
        1 => Just(Op::Close),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Enters,
    TooLarge,
    Closed,
    Full,
    TimedOut,
    Displaced,
    Shed,
}

fn end(result: Result<(), AcquireError>) -> End {
    match result {
        Ok(()) => End::Enters,
        Err(AcquireError::TooLarge { .. }) => End::TooLarge,
        Err(AcquireError::Closed) => End::Closed,
        Err(AcquireError::QueueFull { .. }) => End::Full,
        Err(AcquireError::TimedOut { .. }) => End::TimedOut,
        Err(AcquireError::Displaced { .. }) => End::Displaced,
        Err(AcquireError::Shed { .. }) => End::Shed,
    }
}

/// What the oracle knows of a request.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: u32,
    weight: u32,
    class: usize,
    since: u64,
    deadline: u64,
}

/// Everything in lists, in the order of coming.
struct Oracle {
    rules: Rules,
    capacity: u32,
    now: u64,
    is_closed: bool,
    line: Vec<Known>,
    inside: Vec<Known>,
    /// The classes of those who went, since each class was passed over for the first time.
    went: [Vec<usize>; 4],
    ends: Vec<(u32, End)>,
}

impl Oracle {
    fn in_use(&self) -> u32 {
        self.inside.iter().map(|known| known.weight).sum()
    }

    fn fits(&self, weight: u32) -> bool {
        weight == 0 || self.in_use() + weight <= self.capacity
    }

    fn waits(&self, class: usize) -> bool {
        self.line.iter().any(|known| known.class == class)
    }

    fn forget_empty(&mut self) {
        for class in 0..4 {
            if !self.waits(class) {
                self.went[class].clear();
            }
        }
    }

    fn next(&self) -> Option<usize> {
        let over = |class: usize| self.went[class].iter().filter(|went| **went < class).count();
        let mut classes: Vec<_> = (0..4).filter(|class| self.waits(*class)).collect();
        let patience = self.rules.patience.map_or(usize::MAX, |patience| patience as usize);
        // The most passed over first, and the others by urgency.
        classes.sort_by_key(|class| {
            let over = over(*class);
            (if over >= patience { usize::MAX - over } else { usize::MAX }, *class)
        });
        let class = *classes.first()?;
        let of_class = |known: &Known| known.class == class;
        if self.is_last_first() {
            self.line.iter().rposition(of_class)
        } else {
            self.line.iter().position(of_class)
        }
    }

    fn is_last_first(&self) -> bool {
        match self.rules.order {
            Order::Fifo => false,
            Order::Lifo => true,
            Order::AdaptiveLifo { beyond } => self.line.len() > beyond,
        }
    }

    /// It is tried: with it in the line, it is the next.
    fn goes_at_once(&mut self, known: Known) -> bool {
        self.line.push(known);
        let next = self.next().map(|at| self.line[at].id);
        self.line.pop();
        next == Some(known.id) && self.fits(known.weight)
    }

    fn serve(&mut self) {
        self.forget_empty();
        while let Some(at) = self.next() {
            let known = self.line[at];
            if self.now >= known.deadline {
                self.line.remove(at);
                self.ends.push((known.id, End::TimedOut));
            } else if self.fits(known.weight) && self.sheds(known) {
                let least = self.line.iter().map(|known| known.class).max().unwrap();
                let at = self.line.iter().position(|known| known.class == least).unwrap();
                self.ends.push((self.line.remove(at).id, End::Shed));
            } else if self.fits(known.weight) {
                self.line.remove(at);
                self.inside.push(known);
                self.ends.push((known.id, End::Enters));
                for went in &mut self.went {
                    went.push(known.class);
                }
                self.went[known.class].clear();
            } else {
                break;
            }
            self.forget_empty();
        }
        if let (Some(codel), true) = (&mut self.rules.codel, self.line.is_empty()) {
            codel.is_empty();
        }
    }

    /// What CoDel says, which is looked at by itself.
    fn sheds(&mut self, known: Known) -> bool {
        let (waited, is_last) = (self.now - known.since, self.line.len() == 1);
        self.rules.codel.as_mut().is_some_and(|codel| codel.sheds(self.now, waited, is_last))
    }

    fn join(&mut self, known: Known) -> Option<End> {
        let end = if self.is_closed {
            End::Closed
        } else if known.weight > self.capacity {
            End::TooLarge
        } else if known.weight == 0 || self.line.is_empty() && self.fits(known.weight) {
            self.inside.push(known);
            End::Enters
        } else if self.now >= known.deadline {
            End::TimedOut
        } else {
            if self.line.len() >= self.rules.max_waiting && !self.goes_at_once(known) {
                let least = self.line.iter().map(|known| known.class).max();
                let Some(least) = least.filter(|least| *least > known.class) else {
                    return Some(End::Full);
                };
                // Who of them would go last.
                let mut all = self.line.iter();
                let of_class = |other: &Known| other.class == least;
                let at = if self.is_last_first() {
                    all.position(of_class)
                } else {
                    all.rposition(of_class)
                };
                let at = at.unwrap();
                self.ends.push((self.line.remove(at).id, End::Displaced));
                self.forget_empty();
            }
            self.line.push(known);
            self.serve();
            return None;
        };
        Some(end)
    }
}

/// Both, and the keys by which the queue knows who waits.
pub(super) struct Both {
    oracle: Oracle,
    pub(super) queue: Ids,
    keys: BTreeMap<u32, usize>,
    next_id: u32,
}

impl Both {
    pub(super) fn new(rules: &Rules) -> Self {
        let oracle = Oracle {
            capacity: rules.capacity,
            rules: rules.clone(),
            now: 0,
            is_closed: false,
            line: Vec::new(),
            inside: Vec::new(),
            went: Default::default(),
            ends: Vec::new(),
        };
        Self { oracle, queue: Queue::new(rules), keys: BTreeMap::new(), next_id: 0 }
    }

    pub(super) fn play(&mut self, op: Op) {
        let now = self.oracle.now;
        match op {
            Op::Join { weight, class, within } => self.join(weight, class, within),
            Op::TryTake(weight) => {
                let oracle = &mut self.oracle;
                let id = self.next_id;
                self.next_id += 1;
                let plain = oracle.line.is_empty() && oracle.fits(weight);
                let taken =
                    !oracle.is_closed && weight <= oracle.capacity && (weight == 0 || plain);
                assert_eq!(self.queue.try_take(weight).is_ok(), taken);
                if taken {
                    oracle.inside.push(Known { id, weight, class: 0, since: now, deadline: 0 });
                }
            }
            Op::Release(at) if !self.oracle.inside.is_empty() => {
                let known = self.oracle.inside.remove(at % self.oracle.inside.len());
                // Told or not.
                match self.keys.remove(&known.id) {
                    Some(key) if at % 2 == 0 => {
                        assert_eq!(self.queue.cancel(now, key), Place::Entered);
                    }
                    key => {
                        if let Some(key) = key {
                            assert_eq!(self.queue.collect(key), Some(Ok(())));
                        }
                        self.queue.give_back(now, known.weight);
                    }
                }
                self.oracle.serve();
            }
            Op::Cancel(at) if !self.oracle.line.is_empty() => {
                let known = self.oracle.line.remove(at % self.oracle.line.len());
                let key = self.keys.remove(&known.id).unwrap();
                assert_eq!(self.queue.cancel(now, key), Place::Waited(Some(known.id)));
                self.oracle.serve();
            }
            Op::Expire(at) if !self.oracle.line.is_empty() => {
                let known = self.oracle.line.remove(at % self.oracle.line.len());
                self.oracle.ends.push((known.id, End::TimedOut));
                self.queue.expire(now, self.keys[&known.id]);
                self.oracle.serve();
            }
            Op::Resize(capacity) => {
                self.oracle.capacity = capacity;
                self.fail(|known| known.weight > capacity, End::TooLarge);
                self.queue.resize(now, capacity);
                self.oracle.serve();
            }
            Op::Pass(time) => self.oracle.now += time,
            Op::Close => {
                self.fail(|_| true, End::Closed);
                assert_eq!(self.queue.close(now), !self.oracle.is_closed);
                self.oracle.is_closed = true;
            }
            _ => {}
        }
        self.compare();
    }

    fn join(&mut self, weight: u32, class: usize, within: Option<u64>) {
        let id = self.next_id;
        self.next_id += 1;
        let now = self.oracle.now;
        let deadline = within.map_or(u64::MAX, |within| now + within);
        let asked = Asked { weight, priority: CLASSES[class], deadline };
        let joined = join(&mut self.queue, now, asked, id);
        let expected = self.oracle.join(Known { id, weight, class, since: now, deadline });
        match joined {
            Ok(Joined::Enters) => assert_eq!(expected, Some(End::Enters)),
            Err(error) => assert_eq!(expected, Some(end(Err(error)))),
            Ok(Joined::Waits(key)) => {
                assert_eq!(expected, None);
                self.keys.insert(id, key);
            }
        }
    }

    /// Fails all of those who wait.
    fn fail(&mut self, which: impl Fn(&Known) -> bool, end: End) {
        // Class by class, as the queue goes through them.
        for class in 0..4 {
            let of_class = |known: &Known| known.class == class && which(known);
            let failed = self.oracle.line.iter().filter(|known| of_class(known));
            self.oracle.ends.extend(failed.map(|known| (known.id, end)));
            self.oracle.line.retain(|known| !of_class(known));
        }
        self.oracle.forget_empty();
    }

    /// Gives back whatever is out, in some order.
    pub(super) fn release_all(&mut self) {
        while !self.oracle.inside.is_empty() {
            self.play(Op::Release(1));
        }
    }

    fn compare(&mut self) {
        let ends: Vec<_> = std::mem::take(&mut self.oracle.ends);
        let told: Vec<_> = self.queue.take_settled().collect();
        let mut ends_told = Vec::new();
        for Settled { waiter, end: result, .. } in told {
            let id = waiter.unwrap();
            ends_told.push((id, end(result)));
            if result.is_err() {
                assert_eq!(self.queue.collect(self.keys.remove(&id).unwrap()), Some(result));
            }
        }
        assert_eq!(ends_told, ends);
        let oracle = &self.oracle;
        assert_eq!(self.queue.count().in_use, oracle.in_use());
        assert_eq!(self.queue.count().capacity, oracle.capacity);
        assert_eq!(self.queue.waiting(), oracle.line.len());
        let queued: u32 = oracle.line.iter().map(|known| known.weight).sum();
        assert_eq!(self.queue.queued(), u64::from(queued));
        assert_eq!(self.queue.is_drained(), oracle.line.is_empty() && oracle.in_use() == 0);
    }
}
