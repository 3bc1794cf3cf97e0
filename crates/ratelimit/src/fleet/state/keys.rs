//! The keys of a store in this process, and which of them is full first.

use super::{
    super::store::{Answer, Ask},
    StoreQuota, Tat,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// How many full keys are forgotten when a new one comes: more than one, so that the keys of a crowd that
/// has gone do not stay as long as there is room.
const FORGOTTEN: usize = 2;

/// Keys and their arrival times, in the order in which they are full again: what is to be forgotten is found
/// at once, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    times: HashMap<Arc<str>, Tat>,
    /// The same keys, by the microsecond from which on nothing is lost with them.
    order: BTreeSet<(u64, Arc<str>)>,
    /// How many keys were looked at to find room.
    looked_at: u64,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// How many keys were looked at so far to find room.
    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// What a store does with a key at the time `now`; none, if it is a new one and as many that are not full
    /// are there as may be.
    pub(crate) fn apply(
        &mut self,
        key: &str,
        quota: &StoreQuota,
        now: u64,
        ask: &Ask,
        max_keys: usize,
    ) -> Option<Answer> {
        let before = self.times.get(key).copied();
        let (tat, answer) = quota.apply(before, now, ask);
        match before {
            Some(before) => self.change(key, before, tat),
            // A full key equals an absent one.
            None if tat == (Tat { micros: now, units: 0 }) => {}
            None => {
                self.forget_full(now);
                if self.len() >= max_keys {
                    return None;
                }
                let key = Arc::from(key);
                self.order.insert((tat.micros, Arc::clone(&key)));
                self.times.insert(key, tat);
            }
        }
        Some(answer)
    }

    fn change(&mut self, key: &str, before: Tat, tat: Tat) {
        if before == tat {
            return;
        }
        let Some((key, _)) = self.times.get_key_value(key) else { return };
        let key = Arc::clone(key);
        if before.micros != tat.micros {
            let place = (before.micros, Arc::clone(&key));
            self.order.remove(&place);
            self.order.insert((tat.micros, Arc::clone(&key)));
        }
        self.times.insert(key, tat);
    }

    fn forget_full(&mut self, now: u64) {
        for _ in 0..FORGOTTEN {
            let Some((micros, _)) = self.order.first() else { return };
            self.looked_at += 1;
            // One that is full within the microsecond may have units beyond it.
            if *micros >= now {
                return;
            }
            if let Some((_, key)) = self.order.pop_first() {
                self.times.remove(&key);
            }
        }
    }
}
