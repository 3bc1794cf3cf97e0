use crate::Model;
use std::hash::Hash;
use std::marker::PhantomData;

/// A map of which each operation is about one key and returns the value that was there before.
///
/// Each key is checked on its own.
#[derive(Clone, Debug)]
pub struct Map<K, V> {
    entries: PhantomData<fn() -> (K, V)>,
}

/// An operation of a [`Map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapOp<K, V> {
    /// Reads the value of a key.
    Get(K),
    /// Puts a value in, in place of the one that is there.
    Insert(K, V),
    /// Takes the value of a key out.
    Remove(K),
}

impl<K, V> Map<K, V> {
    /// One that starts empty.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: PhantomData }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Model for Map<K, V>
where
    K: Clone + Eq + Hash,
    V: Clone + Eq + Hash,
{
    type Op = MapOp<K, V>;
    type Ret = Option<V>;
    type State = Option<V>;
    type Next = Option<Option<V>>;
    type Key = K;

    fn partition(&self, op: &MapOp<K, V>) -> K {
        let (MapOp::Get(key) | MapOp::Insert(key, _) | MapOp::Remove(key)) = op;
        key.clone()
    }

    fn init(&self, _key: &K) -> Option<V> {
        None
    }

    fn step(
        &self,
        value: &Option<V>,
        op: &MapOp<K, V>,
        ret: Option<&Option<V>>,
    ) -> Option<Option<V>> {
        let next = || match op {
            MapOp::Get(_) => value.clone(),
            MapOp::Insert(_, new) => Some(new.clone()),
            MapOp::Remove(_) => None,
        };
        ret.is_none_or(|ret| ret == value).then(next)
    }
}
