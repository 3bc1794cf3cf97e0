//! The index, and where things are.

use super::{
    Entry, Table,
    index::Index,
    plan::{Plans, Shelf},
};
use proptest::{collection::vec, prelude::*};
use std::mem::offset_of;

/// What is put into an index, or taken out of it.
#[derive(Clone, Copy, Debug)]
enum Op {
    Add(u16),
    Remove(usize),
}

fn ops(tags: impl Strategy<Value = u16>) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => tags.prop_map(Op::Add),
        2 => any::<usize>().prop_map(Op::Remove),
    ];
    // The interpreter would take minutes.
    vec(op, 0..if cfg!(miri) { 60 } else { 400 })
}

/// Each entry is found under its tag, after whatever was done before, and none that is gone.
fn finds_what_is_there(ops: Vec<Op>) {
    let mut index = Index::default();
    // What each entry is, and its tag.
    let (mut entries, mut tags) = (Vec::new(), Vec::new());
    for (id, op) in ops.into_iter().enumerate() {
        match op {
            Op::Add(tag) => {
                entries.push(id);
                tags.push(tag);
                index.add_last(&tags);
            }
            Op::Remove(at) if !entries.is_empty() => {
                let at = at % entries.len();
                let tag = tags[at];
                index.swap_remove(&tags, at);
                let gone = entries.swap_remove(at);
                tags.swap_remove(at);
                assert_eq!(index.find(tag, |at| entries.get(at) == Some(&gone)), None);
                if index.is_too_large(tags.len()) {
                    index.resize(&tags);
                }
            }
            Op::Remove(_) => {}
        }
        for (at, (entry, tag)) in entries.iter().zip(&tags).enumerate() {
            let found = index.find(*tag, |at| entries.get(at) == Some(entry));
            assert_eq!(found, Some(at), "of {} after {op:?}", entries.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_finds_what_is_there(ops in ops(any::<u16>())) {
        finds_what_is_there(ops);
    }

    /// All want the same few buckets, at the end and at the start, and are pushed on into the next ones.
    #[test]
    fn an_index_finds_what_is_there_if_all_want_the_same(
        ops in ops(prop_oneof![65_000..=u16::MAX, 0..300_u16, Just(7)]),
    ) {
        finds_what_is_there(ops);
    }
}

/// Of the table itself; with the lock and what is beside it, 32 bytes more.
#[test]
fn what_a_look_up_reads_is_on_two_cache_lines() {
    type Any = Table<u64, ()>;
    let first = offset_of!(Any, plans) + offset_of!(Plans, first);
    let places = [
        offset_of!(Any, latest) + size_of::<u64>(),
        offset_of!(Any, index) + size_of::<Index>(),
        offset_of!(Any, entries) + size_of::<Vec<Entry<u64>>>(),
        offset_of!(Any, base) + size_of::<u64>(),
        first + offset_of!(Shelf, tick) + size_of::<u64>(),
        first + offset_of!(Shelf, token) + size_of::<u64>(),
        first + offset_of!(Shelf, burst) + size_of::<u64>(),
        first + offset_of!(Shelf, cells) + size_of::<usize>(),
    ];
    assert!(places.iter().all(|end| end + 32 <= 128), "{places:?}");
}
