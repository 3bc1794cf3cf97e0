//! The bulkhead of each name.

use super::{Enter, Entering, Rejected, Waits};
use crate::{Acquire, Ask, Compartments, Permit};

impl<K: AsRef<str>> Enter<K> for Compartments {
    type Permit = Permit;
    type Waiting = Waits<Acquire>;

    fn try_enter(&self, name: K, weight: u32) -> Result<Permit, Rejected> {
        self.get(name.as_ref())?.try_enter((), weight)
    }

    fn enter_now(&self, name: &K, weight: u32) -> Option<Permit> {
        self.get(name.as_ref()).ok()?.enter_now(&(), weight)
    }

    fn enter(&self, name: K, ask: Ask) -> Result<Entering<Permit, Waits<Acquire>>, Rejected> {
        self.get(name.as_ref())?.enter((), ask)
    }
}
