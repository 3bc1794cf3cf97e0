//! Seats that never move, in chains by their numbers: where a child leaves what it does not take
//! along, and how it leaves without a lock.

use super::vault::AnyVault;
use crate::{
    inspect::{Polled, SharedPolled, Tick},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
        lock,
    },
};
use std::{sync::OnceLock, task::Waker};

/// Instead of the next seat: this one is in no chain, since its work is alive.
const ALIVE: u32 = u32::MAX;
/// Beside the number of the next seat: this one holds a task that has ended.
const HOLDS: u32 = 1 << 31;
/// Instead of the number of the next seat, if there is none.
const NONE: u32 = HOLDS - 2;

/// What a child shares with whoever ends or wakes it. The rest of its record is the spawners'.
#[derive(Default)]
pub(super) struct Kept {
    /// Set when the work is first suspended; how an abort reaches it. After its end, the last
    /// reference to the memory of the task.
    pub(super) waker: Option<Waker>,
    /// Where the work leaves its value, if that needs care: a vault for its type.
    pub(super) vault: Option<AnyVault>,
}

pub(super) struct Seat {
    kept: Mutex<Kept>,
    /// The next seat in the chain that this one is in.
    next: AtomicU32,
    /// The thread that spawned the work.
    thread: AtomicU32,
    /// Written by the work alone.
    polled: SharedPolled,
}

impl Seat {
    fn new() -> Self {
        let (next, thread) = (AtomicU32::new(NONE), AtomicU32::new(0));
        Self { kept: Mutex::default(), next, thread, polled: SharedPolled::default() }
    }

    /// Its work begins, spawned by that thread.
    pub(super) fn begin(&self, thread: u32) {
        self.thread.store(thread, Ordering::Relaxed);
        self.polled.set(Polled::default());
        self.next.store(ALIVE, Ordering::Relaxed);
    }

    /// Counts a poll of its work that began then and is over now.
    pub(super) fn count_poll(&self, began: Tick) {
        self.polled.count(began);
    }

    pub(super) fn polled(&self) -> Polled {
        self.polled.get()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.next.load(Ordering::Relaxed) == ALIVE
    }

    pub(super) fn was_spawned_by(&self, thread: u32) -> bool {
        self.thread.load(Ordering::Relaxed) == thread
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    /// All of it: it is dropped without the lock.
    pub(super) fn take_kept(&self) -> Kept {
        std::mem::take(&mut *self.kept())
    }
}

/// Where something lies that has a number: in which block, and where in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: usize,
    pub(super) at: usize,
}

/// Each block has twice as many as the one before it, up to a bound: glibc's `free` gives memory
/// back to the system when it gets much at once, and a scope that needs it again pays for that
/// with page faults. (An interpreter pays for the size of a block at each look at it.)
const FIRST: usize = 8;
const LARGEST: usize = if cfg!(miri) { 32 } else { 512 };
/// So many blocks are smaller, and so many have their place in them.
const SMALLER: usize = (LARGEST.ilog2() - FIRST.ilog2()) as usize;
const IN_SMALLER: usize = LARGEST - FIRST;

impl Place {
    pub(super) fn of(index: u32) -> Self {
        let index = index as usize;
        if index >= IN_SMALLER {
            let large = index - IN_SMALLER;
            return Self { block: SMALLER + large / LARGEST, at: large % LARGEST };
        }
        let block = ((index + FIRST) / FIRST).ilog2();
        Self { block: block as usize, at: index + FIRST - (FIRST << block) }
    }

    /// How many there are in its block.
    pub(super) fn len(self) -> usize {
        FIRST << self.block.min(SMALLER)
    }
}

type Block = OnceLock<Box<[Seat]>>;

/// Tables of large blocks, each with twice as many as the one before it.
const TABLES: usize = (u32::BITS - LARGEST.ilog2()) as usize;

/// Seats by number. They are made in blocks that never move: a seat is reached without a lock.
#[derive(Default)]
pub(super) struct Seats {
    smaller: [Block; SMALLER],
    tables: [OnceLock<Box<[Block]>>; TABLES],
}

impl Seats {
    /// The table of a large block, and its place there.
    fn in_table(block: usize) -> (usize, usize) {
        let from_one = block - SMALLER + 1;
        let table = from_one.ilog2() as usize;
        (table, from_one - (1 << table))
    }

    fn block(&self, block: usize) -> Option<&[Seat]> {
        let found = if let Some(found) = self.smaller.get(block) {
            found
        } else {
            let (table, at) = Self::in_table(block);
            &self.tables.get(table)?.get()?[at]
        };
        found.get().map(|seats| &**seats)
    }

    /// Whether the seat of that number is there, if those before it are.
    pub(super) fn has(&self, index: u32) -> bool {
        let Place { block, at } = Place::of(index);
        at > 0 || self.block(block).is_some()
    }

    /// Makes the block that begins with the seat of that number.
    pub(super) fn make_from(&self, index: u32) {
        let place = Place::of(index);
        let block = self.smaller.get(place.block).unwrap_or_else(|| {
            let (table, at) = Self::in_table(place.block);
            let found = self.tables.get(table).expect("two billion children fit into no memory");
            &found.get_or_init(|| (0..1_usize << table).map(|_| Block::new()).collect())[at]
        });
        block.get_or_init(|| (0..place.len()).map(|_| Seat::new()).collect());
    }

    /// The seat of that number, which is there.
    pub(super) fn get(&self, index: u32) -> &Seat {
        let Place { block, at } = Place::of(index);
        &self.block(block).expect("a seat is made before its number is known")[at]
    }
}

/// A chain of seats that one thread has at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain(u32);

impl Default for Chain {
    fn default() -> Self {
        Self(NONE)
    }
}

impl Chain {
    /// Takes the first seat, and says whether it holds a task.
    pub(super) fn pop(&mut self, seats: &Seats) -> Option<(u32, bool)> {
        if self.0 == NONE {
            return None;
        }
        let index = self.0;
        let next = seats.get(index).next.load(Ordering::Relaxed);
        self.0 = next & !HOLDS;
        Some((index, next & HOLDS != 0))
    }

    /// Adds a seat that holds nothing.
    pub(super) fn push(&mut self, index: u32, seats: &Seats) {
        seats.get(index).next.store(self.0, Ordering::Relaxed);
        self.0 = index;
    }
}

/// Who has left: how many, and the seats of those that had one. Many push to that chain, and it
/// is taken as a whole: no seat can come back to its head while somebody pushes to it, which is
/// what breaks stacks that are popped (the ABA problem).
pub(super) struct Left(AtomicU64);

/// What a call found that left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    /// How many have left now, modulo [`COUNT`].
    pub(super) left: u32,
    /// Whether somebody may wait for the last.
    pub(super) is_awaited: bool,
}

/// So many can be told apart that have left or come.
const COUNT: u32 = 1 << 31;
const AWAITED: u64 = 1 << 63;

/// How many are there, if so many have come, and left.
pub(super) fn difference(entered: u32, left: u32) -> usize {
    (entered.wrapping_sub(left) & (COUNT - 1)) as usize
}

impl Default for Left {
    fn default() -> Self {
        Self(AtomicU64::new(u64::from(NONE)))
    }
}

impl Left {
    fn split(bits: u64) -> (u32, Leave) {
        #[expect(clippy::cast_possible_truncation, reason = "two halves")]
        let (head, high) = (bits as u32, (bits >> 32) as u32);
        (head, Leave { left: high & (COUNT - 1), is_awaited: bits & AWAITED != 0 })
    }

    /// One more leaves, and its seat goes to `head`, as far as it has one. Releases what it did
    /// before, and acquires what those did who left earlier.
    fn leave(&self, mut head: impl FnMut(u32) -> u32) -> Leave {
        let mut bits = self.0.load(Ordering::Relaxed);
        loop {
            let (former, mut leave) = Self::split(bits);
            leave.left = leave.left.wrapping_add(1) & (COUNT - 1);
            let after = bits & AWAITED | u64::from(leave.left) << 32 | u64::from(head(former));
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            match self.0.compare_exchange_weak(bits, after, success, failure) {
                Ok(_) => return leave,
                Err(other) => bits = other,
            }
        }
    }

    /// One leaves that has no seat.
    pub(super) fn leave_without(&self) -> Leave {
        self.leave(|head| head)
    }

    /// One leaves its seat, of that number, which may hold a task.
    pub(super) fn leave_seat(&self, index: u32, seat: &Seat, holds: bool) -> Leave {
        let flag = if holds { HOLDS } else { 0 };
        self.leave(|head| {
            seat.next.store(head | flag, Ordering::Relaxed);
            index
        })
    }

    /// From now on whoever leaves is told that somebody may wait for it.
    pub(super) fn await_last(&self) {
        self.0.fetch_or(AWAITED, Ordering::AcqRel);
    }

    pub(super) fn count(&self) -> u32 {
        Self::split(self.0.load(Ordering::Acquire)).1.left
    }

    /// Takes all seats, the last to come first.
    pub(super) fn take(&self) -> Chain {
        let mut bits = self.0.load(Ordering::Relaxed);
        while Self::split(bits).0 != NONE {
            let without = bits & !u64::from(u32::MAX) | u64::from(NONE);
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            match self.0.compare_exchange_weak(bits, without, success, failure) {
                Ok(_) => return Chain(Self::split(bits).0),
                Err(other) => bits = other,
            }
        }
        Chain::default()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    /// All smaller blocks and a few large ones; an interpreter has time for one.
    const USED: u32 = if cfg!(miri) { 600 } else { 20_000 };

    #[test]
    fn numbers_fill_block_after_block() {
        let mut expected = Place { block: 0, at: 0 };
        for index in 0..USED {
            assert_eq!(Place::of(index), expected, "{index}");
            expected.at += 1;
            if expected.at == expected.len() {
                expected = Place { block: expected.block + 1, at: 0 };
            }
        }
        let last = Place::of(NONE - 1);
        assert!(Seats::in_table(last.block).0 < TABLES);
    }

    #[test]
    fn seats_are_there_when_their_block_is_made() {
        let seats = Seats::default();
        for index in 0..USED {
            if !seats.has(index) {
                seats.make_from(index);
            }
            seats.get(index).begin(index);
        }
        assert!((0..USED).all(|index| seats.get(index).was_spawned_by(index)));
    }
}
