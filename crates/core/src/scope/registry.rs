//! Who is alive in a scope: a record for each child, and the counts of who came and who left.

use super::{
    WorkKind,
    join::Joiner,
    node::ScopeNode,
    seats::{Chain, Kept, Leave, Left, Place, Seat, Seats, difference},
    vault::AnyVault,
};
use crate::{
    Name,
    inspect::{Tick, thread},
    sync::{
        Mutex, Weak,
        atomic::{AtomicU32, Ordering},
        lock,
    },
};
use std::{
    panic::Location,
    task::{Context, Poll, Waker},
};

/// What a scope knows of one piece of work it owns.
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) at: &'static Location<'static>,
    pub(super) kind: WorkKind,
    /// The scope, if the work is a nested one.
    pub(super) scope: Option<Weak<ScopeNode>>,
    /// When it began, as a place in the row of its siblings and as a time.
    pub(super) turn: u32,
    pub(super) began: Tick,
}

impl Record {
    pub(super) fn new(name: Name, at: &'static Location<'static>, kind: WorkKind) -> Self {
        Self { name, at, kind, scope: None, turn: 0, began: Tick::now() }
    }
}

/// The members of a scope: the driver, which is the scope's own future, the body and the
/// children. When none is left it is closed, for ever. Only the driver closes a scope, so that
/// what it finds then is final; if its future is dropped, the last to leave does.
///
/// Whoever spawns takes a lock. Whoever ends a child takes none that spawners need, and writes to
/// nothing but the seat of the child and the head of a chain: most children end on another
/// thread than the one that spawns, and what two threads write costs them more than anything
/// else here. So those who come and those who leave are counted apart, and only once the body
/// has left somebody compares the two.
pub(super) struct Registry {
    left: Left,
    /// How many ended tasks are held at most: those in [`Front::ended`] that are given back
    /// already are taken off all at once.
    held: AtomicU32,
    joiner: Joiner,
    seats: Seats,
    front: Aligned<Mutex<Front>>,
    /// The number of those who came: written under the lock of the front.
    entered: Aligned<AtomicU32>,
}

/// The spawners' side, on a cache line of its own.
#[derive(Default)]
struct Front {
    is_closed: bool,
    /// The records, by the numbers of the seats. Those of work that has ended stay until their
    /// seat is used again.
    records: Records,
    /// Counts the children, so that they can be told in the order in which they were spawned.
    turn: u32,
    /// Seats of those who have left, which may hold the last reference to a task.
    ended: Chain,
    /// How many of them were given back that did.
    given_back: u32,
    /// Seats that hold none.
    free: Chain,
}

/// Records in blocks that are never copied as they grow.
#[derive(Default)]
struct Records {
    blocks: Vec<Vec<Option<Record>>>,
    len: u32,
}

impl Records {
    fn get(&mut self, index: u32) -> &mut Option<Record> {
        let Place { block, at } = Place::of(index);
        &mut self.blocks[block][at]
    }

    fn push(&mut self, record: Record) {
        let place = Place::of(self.len);
        if place.at == 0 {
            self.blocks.push(Vec::with_capacity(place.len()));
        }
        self.blocks[place.block].push(Some(record));
        self.len += 1;
    }
}

#[derive(Default)]
#[repr(align(64))]
struct Aligned<T>(T);

/// How many seats are looked at before the lock is given back, so that nobody who spawns is held
/// up for long.
const AT_ONCE: usize = 64;

/// Where a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

impl Key {
    /// As a number.
    pub(super) fn to_bits(self) -> u32 {
        self.0
    }
}

/// The end of some work, as its record needs to know it.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'a> {
    /// Of a task, by its last poll: its waker, and whether the seat has that, too.
    Polled { waker: &'a Waker, is_parked: bool },
    /// Of anything else.
    Other,
}

impl Registry {
    /// One with two members: the driver and the body.
    pub(super) fn new() -> Self {
        Self {
            left: Left::default(),
            held: AtomicU32::new(0),
            joiner: Joiner::default(),
            seats: Seats::default(),
            front: Aligned::default(),
            entered: Aligned(AtomicU32::new(2)),
        }
    }

    /// How many members there are. Those who left came before, so that they are counted first.
    pub(super) fn alive(&self) -> usize {
        let left = self.left.count();
        difference(self.entered.0.load(Ordering::Acquire), left)
    }

    /// Keeps a record; its name, if the scope is closed.
    pub(super) fn insert(&self, mut record: Record, vault: Option<AnyVault>) -> Result<Key, Name> {
        let thread = thread();
        let mut front = lock(&self.front.0);
        if front.is_closed {
            return Err(record.name);
        }
        let entered = self.entered.0.load(Ordering::Relaxed).wrapping_add(1);
        self.entered.0.store(entered, Ordering::Release);
        record.turn = front.turn;
        front.turn = front.turn.wrapping_add(1);
        let mut former = None;
        let (index, holds) = self.take_seat(&mut front);
        match index {
            index if index == front.records.len => front.records.push(record),
            // What is foreign is dropped outside the lock.
            index => former = front.records.get(index).replace(record),
        }
        let seat = self.seats.get(index);
        seat.begin(thread);
        drop(front);
        if holds || vault.is_some() {
            let kept = Kept { waker: None, vault };
            // The last reference to a task: its memory goes back to the allocator here, which
            // is cheapest on a thread that takes some. Where tasks end on other threads than
            // they begin on, a quarter of what they cost was the wait for a lock in glibc's
            // `free`.
            let ended = std::mem::replace(&mut *seat.kept(), kept);
            drop(ended);
        }
        drop(former);
        Ok(Key(index))
    }

    /// A seat that nobody uses, and whether it holds a task that has ended: such a one first.
    fn take_seat(&self, front: &mut Front) -> (u32, bool) {
        let used = front.records.len;
        let has_more = self.seats.has(used);
        let ended = front.ended.pop(&self.seats).or_else(|| front.free.pop(&self.seats));
        // The chain of those who left is looked at now and then only: they write to it.
        let found = ended.or_else(|| if has_more { None } else { self.pop_ended(front) });
        if let Some((index, holds)) = found {
            front.given_back += u32::from(holds);
            return (index, holds);
        }
        if !has_more {
            self.seats.make_from(used);
        }
        (used, false)
    }

    /// A seat of somebody who has left, and whether it holds a task.
    fn pop_ended(&self, front: &mut Front) -> Option<(u32, bool)> {
        if let Some(ended) = front.ended.pop(&self.seats) {
            return Some(ended);
        }
        self.held.fetch_sub(std::mem::take(&mut front.given_back), Ordering::Relaxed);
        front.ended = self.left.take();
        front.ended.pop(&self.seats)
    }

    /// A member without a record leaves. True for the call that closes the scope.
    pub(super) fn leave(&self) -> bool {
        self.has_left(self.left.leave_without())
    }

    /// The body leaves, and from now on whoever leaves may be the last.
    pub(super) fn leave_body(&self) -> bool {
        self.left.await_last();
        self.leave()
    }

    /// Ends a record, and its work leaves. All that is foreign is dropped before that. True for
    /// the call that closes the scope.
    pub(super) fn remove(&self, key: Key, end: End<'_>) -> bool {
        let seat = self.seats.get(key.0);
        let holds = match end {
            End::Polled { waker, is_parked } => self.end_polled(seat, waker, is_parked),
            End::Other => {
                let record = lock(&self.front.0).records.get(key.0).take();
                drop((seat.take_kept(), record));
                false
            }
        };
        let leave = self.left.leave_seat(key.0, seat, holds);
        if self.held.load(Ordering::Relaxed) > 0 {
            self.trim();
        }
        self.has_left(leave)
    }

    /// Whether the seat is to hold the task: its memory stays for a spawn on the thread that
    /// spawned it, unless it was this one. No more of them are held than children are alive.
    fn end_polled(&self, seat: &Seat, waker: &Waker, is_parked: bool) -> bool {
        if !seat.was_spawned_by(thread()) && self.may_hold_more() {
            if !is_parked {
                seat.kept().waker = Some(waker.clone());
            }
            self.held.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        if is_parked {
            drop(seat.take_kept());
        }
        false
    }

    /// Whether there are children enough beside the one that ends, the body and the driver.
    fn may_hold_more(&self) -> bool {
        (self.held.load(Ordering::Relaxed) as usize) < self.alive().saturating_sub(3)
    }

    /// Gives the memory of ended tasks back, if more of them are held than children are alive.
    fn trim(&self) {
        while self.held.load(Ordering::Relaxed) as usize > self.alive().saturating_sub(2) {
            let mut ended = Vec::new();
            let mut front = lock(&self.front.0);
            for _ in 0..AT_ONCE {
                let Some((index, holds)) = self.pop_ended(&mut front) else { return };
                if holds {
                    front.given_back += 1;
                    ended.push(self.seats.get(index).take_kept());
                }
                front.free.push(index, &self.seats);
            }
            self.held.fetch_sub(std::mem::take(&mut front.given_back), Ordering::Relaxed);
            drop(front);
        }
    }

    /// Wakes the driver if nobody but it is left, and closes the scope if nobody is: what was
    /// counted may be too few, never too many.
    fn has_left(&self, Leave { left, is_awaited }: Leave) -> bool {
        if !is_awaited {
            return false;
        }
        match difference(self.entered.0.load(Ordering::Acquire), left) {
            0 => self.try_close(0),
            1 => {
                self.joiner.wake();
                false
            }
            _ => false,
        }
    }

    /// Closes the scope if nobody but so many are left.
    fn try_close(&self, but: usize) -> bool {
        let mut front = lock(&self.front.0);
        let closes = !front.is_closed && self.alive() == but;
        front.is_closed |= closes;
        closes
    }

    /// Ready when only the driver is left, which leaves by that. The waker is left before the
    /// second look: whoever ends after that finds it.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.try_close(1) {
            self.joiner.park(cx);
            if !self.try_close(1) {
                return Poll::Pending;
            }
        }
        self.left.leave_without();
        Poll::Ready(())
    }

    /// Where the driver leaves its waker, for the last child or an abort to find.
    pub(super) fn joiner(&self) -> &Joiner {
        &self.joiner
    }

    /// Leaves the waker of suspended work, and hands the former out.
    pub(super) fn park(&self, key: Key, waker: Waker) -> Option<Waker> {
        self.seats.get(key.0).kept().waker.replace(waker)
    }

    /// The vault of some work, once.
    pub(super) fn take_vault(&self, key: Key) -> Option<AnyVault> {
        self.seats.get(key.0).kept().vault.take()
    }

    /// Counts a poll of some work that began then and is over now.
    pub(super) fn count_poll(&self, key: Key, began: Tick) {
        self.seats.get(key.0).count_poll(began);
    }

    /// Reads or changes the record of work that is alive. `f` runs under the lock: no user code
    /// in it.
    pub(super) fn update<T>(&self, key: Key, f: impl FnOnce(&mut Record) -> T) -> T {
        let mut front = lock(&self.front.0);
        f(front.records.get(key.0).as_mut().expect("work has a record until it ends"))
    }

    /// Goes through all records. `f` runs under a lock, which is given back now and then: a
    /// look at many records must not hold up those who spawn and end.
    pub(super) fn for_each(&self, mut f: impl FnMut(Key, &Record, &Seat)) {
        let mut indices = 0..0;
        loop {
            let mut front = lock(&self.front.0);
            let used = front.records.len;
            indices = indices.end..used.min(indices.end + LOOK);
            for index in indices.clone() {
                let (record, seat) = (&*front.records.get(index), self.seats.get(index));
                if let (Some(record), true) = (record, seat.is_alive()) {
                    f(Key(index), record, seat);
                }
            }
            if indices.end == used {
                break;
            }
        }
    }
}

/// How many records [`Registry::for_each`] looks at before it gives the lock back.
const LOOK: u32 = 256;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
