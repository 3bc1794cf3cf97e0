//! Where a child leaves a value that has a destructor.
//!
//! The runtime drops a value that nobody takes only after the child has ended, when the scope
//! may have returned. A vault is shared by the child and its [`Task`](super::Task), and whoever
//! lets go of it last drops what is in it. The child lets go before it gives its record back,
//! so that a value is never dropped behind the scope's back. A value without a destructor
//! needs no such care, and costs no vault.

use super::{node::ScopeNode, registry::Key};
use crate::sync::{Arc, Mutex, lock};
use std::{any::Any, mem::needs_drop};

pub(super) struct Vault<T>(Mutex<Option<T>>);

/// A vault in the record of its child, which knows no types.
pub(super) type AnyVault = Arc<dyn Any + Send + Sync>;

impl<T: Send + 'static> Vault<T> {
    /// A vault, if values of this type need one.
    pub(super) fn if_needed() -> Option<Arc<Self>> {
        needs_drop::<T>().then(|| Arc::new(Self(Mutex::new(None))))
    }

    /// The child's side of its vault, out of its record.
    pub(super) fn of(node: &ScopeNode, key: Key) -> Option<Arc<Self>> {
        let vault = if needs_drop::<T>() { node.take_vault(key) } else { None };
        vault?.downcast().ok()
    }
}

impl<T> Vault<T> {
    pub(super) fn put(&self, value: T) {
        let former = lock(&self.0).replace(value);
        debug_assert!(former.is_none(), "a child has one value");
    }

    pub(super) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}
