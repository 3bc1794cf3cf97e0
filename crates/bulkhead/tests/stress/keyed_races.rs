//! Threads that ask for few keys at once: for longer by `cargo xtask stress`.

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
