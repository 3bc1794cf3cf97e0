//! Who is alive in a scope: a record for each child.

use super::{WorkKind, node::ScopeNode, vault::AnyVault};
use crate::{
    Name,
    inspect::{Polled, Tick},
    sync::{Mutex, Weak, lock},
};
use slab::Slab;
use std::{
    collections::VecDeque,
    panic::Location,
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

/// What a scope knows of one piece of work it owns.
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) at: &'static Location<'static>,
    pub(super) kind: WorkKind,
    /// Set when the work is first suspended; how an abort reaches it.
    pub(super) waker: Option<Waker>,
    /// Where the work leaves its value, if that needs care: a vault for its type.
    pub(super) vault: Option<AnyVault>,
    /// The scope, if the work is a nested one.
    pub(super) scope: Option<Weak<ScopeNode>>,
    /// When it began, as a place in the row of its siblings and as a time.
    pub(super) turn: u32,
    pub(super) began: Tick,
    pub(super) polled: Polled,
}

impl Record {
    pub(super) fn new(name: Name, at: &'static Location<'static>, kind: WorkKind) -> Self {
        let (began, polled) = (Tick::now(), Polled::default());
        Self { name, at, kind, waker: None, vault: None, scope: None, turn: 0, began, polled }
    }
}

/// The records of a scope, in shards, so that a worker that ends children seldom waits for
/// one that spawns them.
#[derive(Default)]
pub(super) struct Registry {
    shards: [Shard; SHARDS],
    /// Picks the shard for the next record. The number of those alive would not do: under a
    /// steady load it is always the same. It takes part in no protocol, so it is std's in a
    /// model, too.
    turn: AtomicUsize,
}

const SHARDS: usize = 4;

/// How many slots [`Registry::for_each`] looks at before it gives the lock back.
const AT_ONCE: usize = 256;

/// One lock and its records, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Records>);

#[derive(Default)]
struct Records {
    alive: Slab<Record>,
    /// Wakers of tasks that have ended, the oldest first, never more than are alive. Each is
    /// the last to hold the memory of its task, and a spawn drops one: memory goes back to an
    /// allocator most cheaply on a thread that takes some. Where tasks end on other threads
    /// than they begin on, a quarter of what they cost was the wait for a lock in glibc's
    /// `free`. The oldest goes first because the runtime has finished with that one.
    ended: VecDeque<Waker>,
}

/// Where a record is kept: the slots of all shards in one row, as every child carries a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

impl Key {
    fn new(shard: usize, slot: usize) -> Self {
        let index = u32::try_from(slot * SHARDS + shard);
        Self(index.expect("four billion children do not fit into memory"))
    }

    /// As one number.
    pub(super) fn to_bits(self) -> u32 {
        self.0
    }

    fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }

    fn slot(self) -> usize {
        self.0 as usize / SHARDS
    }
}

impl Registry {
    /// Keeps a record, in each shard in turn.
    pub(super) fn insert(&self, mut record: Record) -> Key {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "only those alive are compared")]
        let in_row = turn as u32;
        record.turn = in_row;
        let shard = turn % SHARDS;
        let mut records = lock(&self.shards[shard].0);
        let slot = records.alive.insert(record);
        let ended = records.ended.pop_front();
        drop(records);
        drop(ended);
        Key::new(shard, slot)
    }

    /// Ends a record. `waker` is that of its task, unless the record has it. All that is
    /// foreign is dropped outside the lock.
    pub(super) fn remove(&self, key: Key, waker: Option<Waker>) {
        let mut records = lock(&self.shards[key.shard()].0);
        let mut record = records.alive.remove(key.slot());
        let mut waker = record.waker.take().or(waker);
        let mut surplus = None;
        let Records { alive, ended } = &mut *records;
        if ended.len() < alive.len() {
            ended.extend(waker.take());
        } else if ended.len() > alive.len() {
            surplus = ended.pop_front();
        }
        drop(records);
        drop((record, waker, surplus));
    }

    /// Reads or changes one record. `f` runs under the lock: no user code in it.
    pub(super) fn update<T>(&self, key: Key, f: impl FnOnce(&mut Record) -> T) -> T {
        f(&mut lock(&self.shards[key.shard()].0).alive[key.slot()])
    }

    /// Goes through all records. `f` runs under a lock, which is given back now and then: a
    /// look at many records must not hold up those who spawn and end.
    pub(super) fn for_each(&self, mut f: impl FnMut(Key, &mut Record)) {
        for (shard, Shard(records)) in self.shards.iter().enumerate() {
            let mut slots = 0..0;
            loop {
                let mut records = lock(records);
                let slots_now = records.alive.capacity();
                slots = slots.end..slots_now.min(slots.end + AT_ONCE);
                for slot in slots.clone() {
                    if let Some(record) = records.alive.get_mut(slot) {
                        f(Key::new(shard, slot), record);
                    }
                }
                if slots.end == slots_now {
                    break;
                }
            }
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use std::{sync::Arc, task::Wake};

    fn record(name: &'static str) -> Record {
        Record::new(name.into(), Location::caller(), WorkKind::Task)
    }

    fn names(registry: &Registry) -> Vec<String> {
        let mut names = Vec::new();
        registry.for_each(|_, record| names.push(record.name.to_string()));
        names.sort();
        names
    }

    #[test]
    fn keeps_what_was_inserted_until_it_is_removed() {
        let registry = Registry::default();
        let keys = ["a", "b", "c", "d", "e", "f"].map(|name| registry.insert(record(name)));
        registry.remove(keys[1], None);
        registry.remove(keys[4], None);
        assert_eq!(names(&registry), ["a", "c", "d", "f"]);
        assert_eq!(registry.update(keys[2], |record| record.name.clone()).as_str(), "c");
    }

    #[test]
    fn a_steady_load_hits_one_shard() {
        let registry = Registry::default();
        let shards = [(); 4].map(|()| {
            let key = registry.insert(record("request"));
            registry.remove(key, None);
            key.shard()
        });
        assert_eq!(shards, [0, 1, 2, 3]);
    }

    struct Quiet;

    impl Wake for Quiet {
        fn wake(self: Arc<Self>) {}
    }

    /// A waker stands for the memory of its task: spawns give it back, and so does the end of
    /// the last task.
    #[test]
    fn holds_no_more_ended_tasks_than_there_are_live_ones() {
        const EACH: usize = 8;
        let registry = Registry::default();
        let task = Arc::new(Quiet);
        let waker = || Some(Waker::from(Arc::clone(&task)));
        let held = || Arc::strong_count(&task) - 1;
        let mut keys: Vec<_> =
            (0..SHARDS * EACH).map(|_| registry.insert(record("task"))).collect();
        for _ in 0..SHARDS * 2 {
            registry.remove(keys.remove(0), waker());
        }
        assert_eq!(held(), SHARDS * 2);
        keys.extend([(); SHARDS].map(|()| registry.insert(record("task"))));
        assert_eq!(held(), SHARDS, "a spawn drops one");
        while let Some(key) = keys.pop() {
            registry.remove(key, waker());
            assert!(held() <= keys.len(), "{} held, {} alive", held(), keys.len());
        }
        assert_eq!(held(), 0);
    }
}
