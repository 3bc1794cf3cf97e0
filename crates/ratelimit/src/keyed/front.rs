//! Keys that threads have got in each other's way for.

use super::shards::Owner;
use crate::{Quota, clock::Clock};
use tidegate_core::sync::{
    Mutex,
    atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    lock, thread_local,
    unmodelled::AtomicU64 as Counter,
};

/// How many keys a seat has at most.
const PER_SEAT: usize = 4;

/// After which time a key that has not been asked for gives up its place.
const IDLE: u64 = 10_000_000;

static NEXT: Counter = Counter::new(0);

thread_local! {
    static SEAT: usize =
        usize::try_from(NEXT.fetch_add(1, Relaxed)).unwrap_or_default();
}

/// What threads keep at hand: a few keys each, with the owners that look after them, from which one takes
/// with one compare-and-swap, and neither hash nor lock that others use.
///
/// It is by being here that a key has an owner for longer: the table takes a cell back only from an owner
/// that nobody else knows of. So whoever finds an owner here finds the right one.
pub(super) struct Front<K, C: Clock> {
    /// One for each thread, or for a few of them. Their number is a power of two.
    seats: Box<[Seat<K, C>]>,
    /// How many keys there are in all seats.
    kept: AtomicUsize,
    /// When those are looked for that give up their places.
    due: AtomicU64,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Seat<K, C: Clock>(Mutex<Vec<Hot<K, C>>>);

pub(super) struct Hot<K, C: Clock> {
    pub(super) key: K,
    /// None, if all keys have the same.
    pub(super) quota: Option<Quota>,
    pub(super) owner: Owner<C>,
    /// Whether it has been asked for since somebody looked.
    pub(super) is_used: bool,
}

impl<K, C: Clock> Front<K, C> {
    /// With as many seats, a power of two.
    pub(super) fn new(seats: usize) -> Self {
        Self {
            seats: (0..seats).map(|_| Seat(Mutex::new(Vec::new()))).collect(),
            kept: AtomicUsize::new(0),
            due: AtomicU64::new(0),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.seats) + self.kept.load(Relaxed) * size_of::<Hot<K, C>>()
    }

    /// Takes `cost`, if the key is at hand and that is all there is to it.
    #[inline]
    pub(super) fn take(&self, key: &K, quota: Option<Quota>, now: u64, cost: u64) -> bool
    where
        K: Eq,
    {
        self.kept.load(Relaxed) > 0 && self.take_here(key, quota, now, cost)
    }

    fn take_here(&self, key: &K, quota: Option<Quota>, now: u64, cost: u64) -> bool
    where
        K: Eq,
    {
        let mut seat = lock(self.seat());
        let Some(hot) = seat.iter_mut().find(|hot| hot.key == *key) else { return false };
        hot.is_used = true;
        hot.quota == quota && hot.owner.try_take_at(now, cost)
    }

    /// Keeps a key at hand, unless others are asked for more; gives back what is not kept.
    pub(super) fn keep(&self, new: Hot<K, C>) -> Option<Hot<K, C>>
    where
        K: Eq,
    {
        let mut seat = lock(self.seat());
        if let Some(hot) = seat.iter_mut().find(|hot| hot.key == new.key) {
            return Some(std::mem::replace(hot, new));
        }
        if seat.len() < PER_SEAT {
            self.kept.fetch_add(1, AcqRel);
            seat.push(new);
            return None;
        }
        let idle = seat.iter_mut().position(|hot| !std::mem::take(&mut hot.is_used));
        Some(match idle {
            Some(at) => std::mem::replace(&mut seat[at], new),
            None => new,
        })
    }

    /// Lets go of keys that have not been asked for lately.
    pub(super) fn let_go_of_idle(&self, now: u64) {
        if self.kept.load(Acquire) > 0 && now >= self.due.load(Relaxed) {
            self.due.store(now.saturating_add(IDLE), Relaxed);
            self.let_go(|hot| !std::mem::take(&mut hot.is_used));
        }
    }

    /// Lets go of all keys.
    pub(super) fn let_go_of_all(&self) {
        if self.kept.load(Acquire) > 0 {
            self.let_go(|_| true);
        }
    }

    fn let_go(&self, mut which: impl FnMut(&mut Hot<K, C>) -> bool) {
        for seat in &self.seats {
            let mut seat = lock(&seat.0);
            let mut gone = Vec::new();
            let mut at = 0;
            while at < seat.len() {
                if which(&mut seat[at]) {
                    gone.push(seat.swap_remove(at));
                } else {
                    at += 1;
                }
            }
            self.kept.fetch_sub(gone.len(), AcqRel);
            drop(seat);
            drop(gone);
        }
    }

    fn seat(&self) -> &Mutex<Vec<Hot<K, C>>> {
        let seat = SEAT.try_with(|seat| *seat).unwrap_or_default();
        &self.seats[seat & (self.seats.len() - 1)].0
    }
}
