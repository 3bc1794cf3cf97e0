//! Models of the table of keys: run with `--cfg tidegate_loom`.

use super::KeyedBulkhead;
use crate::{Rejected, TryAcquireError, loom_model::model};
use std::{
    hash::{BuildHasherDefault, DefaultHasher},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use tidegate_core::sync::{Arc, thread};

/// Not std's random one: each execution is to take the same way.
type Fixed = BuildHasherDefault<DefaultHasher>;
type Keyed = KeyedBulkhead<u8, Fixed>;

fn keyed(capacity: u32, max_keys: usize) -> Keyed {
    let builder = KeyedBulkhead::builder(capacity).max_keys(max_keys);
    builder.hasher(Fixed::default()).build().unwrap()
}

/// The key leaves with one while another one comes: they never have a bulkhead each.
#[test]
fn loom_a_key_is_one_while_it_comes_and_goes() {
    model("a_key_is_one_while_it_comes_and_goes", || {
        let bulkhead = keyed(1, 1);
        let inside = Arc::new(AtomicU32::new(0));
        let visit = |bulkhead: &Keyed, inside: &AtomicU32| match bulkhead.try_acquire(&7) {
            Ok(_permit) => {
                assert_eq!(inside.fetch_add(1, SeqCst), 0);
                inside.fetch_sub(1, SeqCst);
            }
            Err(Rejected::Now(TryAcquireError::Full { .. })) => {}
            // The room of a key that leaves is free a moment after the key is gone.
            Err(Rejected::TooManyKeys { max_keys: 1 }) => {}
            Err(error) => panic!("{error}"),
        };
        let other = {
            let (bulkhead, inside) = (bulkhead.clone(), Arc::clone(&inside));
            thread::spawn(move || visit(&bulkhead, &inside))
        };
        visit(&bulkhead, &inside);
        visit(&bulkhead, &inside);
        other.join().unwrap();
        assert!(bulkhead.is_empty());
        assert!(bulkhead.try_acquire(&7).is_ok());
    });
}

/// Who waits for a key keeps it, and is let in by who leaves it.
#[test]
fn loom_who_waits_for_a_key_is_let_in() {
    model("who_waits_for_a_key_is_let_in", || {
        let bulkhead = keyed(1, 1);
        let permit = bulkhead.try_acquire(&7).unwrap();
        let other = bulkhead.clone();
        let waits = thread::spawn(move || loom::future::block_on(other.acquire(&7)).map(drop));
        let other = bulkhead.clone();
        let visitor = thread::spawn(move || drop(other.try_acquire(&7)));
        drop(permit);
        visitor.join().unwrap();
        match waits.join().unwrap() {
            Ok(()) | Err(Rejected::TooManyKeys { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(bulkhead.is_empty());
    });
}

/// Whatever comes while it is closed: nobody is inside for ever, or waits.
#[test]
fn loom_closing_reaches_keys_that_are_about_to_be() {
    model("closing_reaches_keys_that_are_about_to_be", || {
        let bulkhead = keyed(1, 2);
        let other = bulkhead.clone();
        let close = thread::spawn(move || other.close());
        let first = bulkhead.try_acquire(&7);
        // One more than there is room for: it waits, unless it is closed, and until it is.
        let end = if first.is_ok() {
            loom::future::block_on(bulkhead.acquire(&7)).map(drop)
        } else {
            bulkhead.try_acquire(&7).map(drop)
        };
        assert!(end.is_err());
        close.join().unwrap();
        drop(first);
        assert!(bulkhead.is_empty());
    });
}

/// A key is about to be while all are closed: once that has returned, nobody is let in by it.
#[test]
fn loom_nobody_is_let_in_once_all_are_closed() {
    model("nobody_is_let_in_once_all_are_closed", || {
        let bulkhead = keyed(2, 2);
        let other = bulkhead.clone();
        let close = thread::spawn(move || other.close());
        let other = bulkhead.clone();
        let late = thread::spawn(move || {
            close.join().unwrap();
            let closed = Rejected::from(TryAcquireError::Closed);
            assert_eq!(other.try_acquire(&7).map(drop).unwrap_err(), closed);
        });
        drop(bulkhead.try_acquire(&7));
        late.join().unwrap();
        assert!(bulkhead.is_empty());
    });
}

/// The same for a capacity: once it was changed, no more are let in.
#[test]
fn loom_no_more_are_let_in_once_there_are_less() {
    model("no_more_are_let_in_once_there_are_less", || {
        let bulkhead = keyed(2, 2);
        let other = bulkhead.clone();
        let resize = thread::spawn(move || other.resize(1).unwrap());
        let other = bulkhead.clone();
        let late = thread::spawn(move || {
            resize.join().unwrap();
            assert!(other.try_acquire_many(&7, 2).is_err());
        });
        drop(bulkhead.try_acquire(&7));
        late.join().unwrap();
        assert!(bulkhead.is_empty());
    });
}

/// Two keys leave while somebody waits for that.
#[test]
fn loom_a_drain_of_all_keys_is_not_missed() {
    model("a_drain_of_all_keys_is_not_missed", || {
        let bulkhead = keyed(1, 2);
        let leave = [7, 8].map(|key| {
            let permit = bulkhead.try_acquire(&key).unwrap();
            thread::spawn(move || drop(permit))
        });
        loom::future::block_on(bulkhead.drained());
        assert!(bulkhead.is_empty());
        leave.into_iter().for_each(|leave| leave.join().unwrap());
        loom::future::block_on(bulkhead.drained());
    });
}

/// A key comes while the capacity of all is changed, twice at a time: it has the one that is left.
#[test]
fn loom_a_key_that_comes_has_the_capacity_of_now() {
    model("a_key_that_comes_has_the_capacity_of_now", || {
        let bulkhead = keyed(1, 1);
        let resize = [2, 3].map(|capacity| {
            let bulkhead = bulkhead.clone();
            thread::spawn(move || bulkhead.resize(capacity).unwrap())
        });
        let permit = bulkhead.try_acquire(&7).unwrap();
        resize.into_iter().for_each(|resize| resize.join().unwrap());
        let now = bulkhead.table.capacity.load(std::sync::atomic::Ordering::Acquire);
        assert!(bulkhead.try_acquire_many(&7, now - 1).is_ok());
        assert!(bulkhead.try_acquire_many(&7, now).is_err());
        drop(permit);
    });
}

/// The same for the capacity of one key.
#[test]
fn loom_a_key_that_is_refreshed_has_the_capacity_that_was_said_last() {
    model("a_key_that_is_refreshed_has_the_capacity_that_was_said_last", || {
        let said = Arc::new(AtomicU32::new(1));
        let says = Arc::clone(&said);
        let builder = KeyedBulkhead::<u8>::builder(1).capacity_for(move |_| says.load(SeqCst));
        let bulkhead = builder.hasher(Fixed::default()).build().unwrap();
        let change = [2, 3].map(|capacity| {
            let (bulkhead, said) = (bulkhead.clone(), Arc::clone(&said));
            thread::spawn(move || {
                said.store(capacity, SeqCst);
                bulkhead.refresh(&7).unwrap()
            })
        });
        let permit = bulkhead.try_acquire(&7).unwrap();
        for change in change {
            change.join().unwrap();
        }
        let now = said.load(SeqCst);
        assert!(bulkhead.try_acquire_many(&7, now - 1).is_ok());
        assert!(bulkhead.try_acquire_many(&7, now).is_err());
        drop(permit);
    });
}
