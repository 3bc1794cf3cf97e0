//! The tables of a keyed limiter, each behind a lock of its own.

use super::{front::Front, request::Request, stats::KeyedStats};
use crate::{
    ConfigError, Quota,
    clock::Clock,
    limiter::Shared,
    state::{Gcra, Plan, Swept, Table},
};
use std::{fmt, sync::Arc};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{
        Mutex,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
        lock,
    },
};

/// How many cells of some table are looked at in passing, and after which time again.
const SWEPT_IN_PASSING: usize = 64;
const PASSING: u64 = 10_000_000;

/// For how long a cell stays that is full, while there is plenty of room: a key that comes more often is
/// found, rather than taken out and added again each time, which takes several times as long. Most clients
/// are far below their limits, and full whenever they come.
const KEPT: u64 = 100_000_000;

/// How often threads get in each other's way for a key, until they have it at hand.
const DISPUTES: u32 = 16;

/// Looks after a key that somebody waits for.
pub(super) type Owner<C> = Arc<Shared<Arc<C>>>;

/// What a look at some cells has left over, to be dropped when no lock is held.
pub(super) type Trash<K, C> = Swept<K, Shared<Arc<C>>>;

pub(super) type QuotaFor<K> = Box<dyn Fn(&K) -> Quota + Send + Sync>;

/// What happens to keys for which there is no room.
pub(super) enum Full<C: Clock> {
    Reject,
    Share(Owner<C>),
    Admit,
}

/// What all handles of a keyed limiter share.
///
/// Keys are hashed, cloned and dropped, and their quotas are asked for, while no lock is held. They are
/// compared while one is: that is what a look-up does. A comparison that panics leaves the table as it was.
pub(super) struct Shards<K, C: Clock, S> {
    pub(super) name: Name,
    pub(super) clock: Arc<C>,
    pub(super) resource: Resource,
    pub(super) hasher: S,
    /// Their number is a power of two.
    pub(super) tables: Box<[Locked<K, C>]>,
    pub(super) front: Front<K, C>,
    /// How many keys there are in all tables.
    pub(super) keys: AtomicUsize,
    pub(super) max_keys: usize,
    /// What the tables go by. Held while it changes, so that in the end all tables have the same.
    pub(super) plan: Mutex<Plan>,
    pub(super) quota_for: Option<QuotaFor<K>>,
    pub(super) full: Full<C>,
    /// Which table is looked at next for what nobody needs.
    pub(super) hand: AtomicUsize,
    /// How many wait, of all keys.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) max_waiters: usize,
    pub(super) turned_away: AtomicU64,
}

/// On cache lines of its own: threads that use neighbours do not slow each other down.
#[repr(align(128))]
pub(super) struct Locked<K, C: Clock>(pub(super) Mutex<Shard<K, C>>);

impl<K, C: Clock> Locked<K, C> {
    pub(super) fn new(plan: Plan) -> Self {
        Self(Mutex::new(Shard { due: 0, disputed: 0, disputes: 0, table: Table::new(plan) }))
    }
}

/// What a look-up needs comes first, so that it is on as few cache lines as can be.
#[repr(C)]
pub(super) struct Shard<K, C: Clock> {
    /// When some cells are looked at again in passing.
    due: u64,
    /// The tag of the key for which somebody has had to wait for the lock, and how often in a row.
    disputed: u16,
    disputes: u32,
    pub(super) table: Table<K, Owner<C>>,
}

impl<K, C: Clock> Shard<K, C> {
    /// Somebody has had to wait for the lock; says whether it is for the same key all the time.
    #[cold]
    pub(super) fn is_disputed(&mut self, tag: u16) -> bool {
        if tag != self.disputed {
            (self.disputed, self.disputes) = (tag, 0);
        }
        self.disputes += 1;
        let is_disputed = self.disputes >= DISPUTES;
        if is_disputed {
            self.disputes = 0;
        }
        is_disputed
    }

    /// Whether it is time to look at some cells in passing. Each time it is said once.
    #[inline]
    pub(super) fn is_due(&mut self, now: u64) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now.saturating_add(PASSING);
        }
        is_due
    }
}

impl<K, C: Clock, S> Shards<K, C, S> {
    /// Changes the quota of all keys that have none of their own.
    pub(super) fn change(&self, quota: Quota) -> Result<(), ConfigError> {
        let plan = Plan::new(quota)?;
        let mut owners = Vec::new();
        let mut kept = lock(&self.plan);
        *kept = plan;
        for table in &self.tables {
            let now = self.clock.now();
            let mut shard = lock(&table.0);
            let now = shard.table.time(now, || self.clock.now());
            shard.table.change(now, plan, |owner| {
                // With the table: of several changes at once, the last is the same to both.
                owner.change_quietly(quota);
                owners.push(Arc::clone(owner));
            });
        }
        drop(kept);
        for owner in owners {
            owner.catch_up();
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.keys.load(Acquire)
    }

    pub(super) fn quota(&self) -> Quota {
        lock(&self.plan).quota
    }

    /// Takes out all cells that are full.
    pub(super) fn evict(&self) -> usize {
        self.front.let_go_of_all();
        let now = self.clock.now();
        (0..self.tables.len()).map(|at| self.sweep(at, now, usize::MAX, 0).0).sum()
    }

    pub(super) fn stats(&self) -> KeyedStats {
        let mut stats = KeyedStats {
            keys: self.len(),
            max_keys: self.max_keys,
            waiting: self.waiting.load(Acquire),
            turned_away: self.turned_away.load(Relaxed),
            evicted: 0,
            bytes: size_of::<Self>() + size_of_val(&*self.tables) + self.front.bytes(),
        };
        for table in &self.tables {
            let shard = lock(&table.0);
            stats.evicted += shard.table.evicted();
            stats.bytes += shard.table.bytes();
        }
        stats
    }

    /// For how long cells stay that are full.
    pub(super) fn kept(&self) -> u64 {
        if self.keys.load(Relaxed) < self.max_keys - self.max_keys.div_ceil(8) { KEPT } else { 0 }
    }

    /// Takes cells out of one table that have been full for `kept`; says how many, and when the first of the
    /// others is full.
    pub(super) fn sweep(
        &self,
        at: usize,
        now: u64,
        cells: usize,
        kept: u64,
    ) -> (usize, Option<u64>) {
        let mut shard = lock(&self.tables[at].0);
        let now = shard.table.time(now, || self.clock.now());
        let swept: Trash<K, C> = shard.table.sweep(now, cells, kept, &mut let_go);
        self.keys.fetch_sub(swept.evicted, AcqRel);
        drop(shard);
        (swept.evicted, swept.next)
    }

    #[cold]
    pub(super) fn sweep_in_passing(&self, now: u64) {
        self.front.let_go_of_idle(now);
        self.sweep(self.next_table(), now, SWEPT_IN_PASSING, self.kept());
    }

    pub(super) fn next_table(&self) -> usize {
        self.hand.fetch_add(1, Relaxed) & (self.tables.len() - 1)
    }

    pub(super) fn shard(&self, request: &Request<'_, K>) -> &Mutex<Shard<K, C>> {
        &self.tables[request.shard].0
    }
}

/// Lets go of an owner that nobody else knows of.
pub(super) fn let_go<C: Clock>(owner: Owner<C>) -> Result<(Gcra, Shared<Arc<C>>), Owner<C>> {
    Arc::try_unwrap(owner).map(|shared| (shared.cell(), shared))
}

impl<K, C: Clock, S> fmt::Debug for Shards<K, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("name", &self.name).finish_non_exhaustive()
    }
}
