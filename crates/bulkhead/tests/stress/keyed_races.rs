//! Threads that ask for few keys at once: for longer by `cargo xtask stress`.

use super::{block_on, poll};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tidegate_bulkhead::KeyedBulkhead;
use tidegate_testkit::Stress;

/// Many threads on few keys: there are never more keys than may be, nor more inside of one, and none is left.
#[test]
fn stress_keys_come_and_go() {
    Stress::new("keys_come_and_go").run(
        |_rng| {
            let bulkhead = KeyedBulkhead::<u64>::builder(2).max_keys(3).build().unwrap();
            (bulkhead, [(); 5].map(|()| AtomicUsize::new(0)))
        },
        |(bulkhead, inside), ctx| {
            for _ in 0..12 {
                let key = ctx.rng().below(5);
                ctx.point();
                let Ok(permit) = bulkhead.try_acquire(&key) else { continue };
                let inside = &inside[usize::try_from(key).unwrap()];
                assert!(inside.fetch_add(1, SeqCst) < 2);
                assert!(bulkhead.len() <= 3);
                ctx.point();
                inside.fetch_sub(1, SeqCst);
                drop(permit);
            }
        },
        |(bulkhead, _), _threads| {
            if bulkhead.is_empty() { Ok(()) } else { Err(format!("{:?}", bulkhead.stats())) }
        },
    );
}

/// The capacity changes all the time, and each thread waits for all keys to leave once it is through: never more are
/// inside of a key than the largest capacity, and nobody is left waiting.
#[test]
fn stress_resizes_and_drains_of_keys_lose_nobody() {
    Stress::new("resizes_and_drains_of_keys_lose_nobody").run(
        |_rng| {
            let bulkhead = KeyedBulkhead::<u64>::builder(2).max_keys(3).build().unwrap();
            (bulkhead, [(); 3].map(|()| AtomicUsize::new(0)))
        },
        |(bulkhead, inside), ctx| {
            for _ in 0..8 {
                ctx.point();
                if ctx.rng().below(4) == 0 {
                    bulkhead.resize(1 + u32::try_from(ctx.rng().below(3)).unwrap()).unwrap();
                    continue;
                }
                let key = ctx.rng().below(3);
                let Ok(permit) = bulkhead.try_acquire(&key) else { continue };
                let inside = &inside[usize::try_from(key).unwrap()];
                assert!(inside.fetch_add(1, SeqCst) < 3);
                ctx.point();
                inside.fetch_sub(1, SeqCst);
                drop(permit);
            }
            block_on(bulkhead.drained());
        },
        |(bulkhead, _), _threads| {
            let is_drained = poll(Box::pin(bulkhead.drained()).as_mut()).is_ready();
            if bulkhead.is_empty() && is_drained {
                Ok(())
            } else {
                Err(format!("{:?}", bulkhead.stats()))
            }
        },
    );
}
