//! What a scope hands down to everything in it: values found by their type.
//!
//! A scope that adds none shares the table of the one around it; one that adds some has a copy
//! with those in place. So a look-up is one search, however deep the scope.

use crate::{panic::drop_quietly, sync::Arc};
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
};

type AnyValue = Arc<dyn Any + Send + Sync>;

/// The values of a scope, with those of the scopes around it.
#[derive(Clone, Default)]
pub(super) struct Values(Option<Arc<Table>>);

#[derive(Clone, Default)]
struct Table(HashMap<TypeId, Value>);

#[derive(Clone)]
struct Value(Option<AnyValue>);

impl Drop for Value {
    /// A scope may end on any thread, which must survive the destructor of a value.
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

impl Values {
    pub(super) fn insert<V: Send + Sync + 'static>(&mut self, value: V) {
        let table = Arc::make_mut(self.0.get_or_insert_default());
        table.0.insert(TypeId::of::<V>(), Value(Some(Arc::new(value))));
    }

    pub(super) fn get<V: 'static>(&self) -> Option<&V> {
        let Value(value) = self.0.as_ref()?.0.get(&TypeId::of::<V>())?;
        value.as_deref()?.downcast_ref()
    }

    /// These, and what they do not have from `around`.
    pub(super) fn within(self, around: &Self) -> Self {
        let (Some(own), Some(_)) = (&self.0, &around.0) else {
            return if self.0.is_some() { self } else { around.clone() };
        };
        let mut all = around.clone();
        let table = Arc::make_mut(all.0.get_or_insert_default());
        table.0.extend(own.0.iter().map(|(key, value)| (*key, value.clone())));
        all
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.as_ref().map_or(0, |table| table.0.len());
        f.debug_struct("Values").field("len", &len).finish()
    }
}
