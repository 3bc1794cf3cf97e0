//! Threads that ask at once: for longer by `cargo xtask stress`.

use super::{block_on, bulkhead, poll};
use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    task::Poll,
};
use tidegate_bulkhead::{Bulkhead, Permit};
use tidegate_testkit::{
    History, Stress, check_linearizable,
    conformance::{Refusals, TrySemaphore, semaphore},
    models::{Semaphore, SemaphoreOp, SemaphoreRet},
};

struct Whole(Bulkhead);

impl TrySemaphore for Whole {
    type Permit<'a> = Permit;

    fn try_acquire(&self) -> Option<Permit> {
        self.0.try_acquire().ok()
    }
}

#[test]
fn stress_it_is_a_semaphore() {
    let make = || Whole(bulkhead(2));
    semaphore(Stress::new("it_is_a_semaphore"), 2, Refusals::Exact, make).unwrap();
}

/// The same by futures that are polled once: whoever does not enter at once gives up, with or without
/// having been let in meanwhile.
struct Polled(Bulkhead);

impl TrySemaphore for Polled {
    type Permit<'a> = Permit;

    fn try_acquire(&self) -> Option<Permit> {
        let mut acquire = std::pin::pin!(self.0.acquire());
        match poll(acquire.as_mut()) {
            Poll::Ready(end) => end.ok(),
            Poll::Pending => None,
        }
    }
}

#[test]
fn stress_who_gives_up_loses_nothing() {
    let make = || Polled(bulkhead(2));
    // Who waits for a moment keeps others from a permit that is there.
    semaphore(Stress::new("who_gives_up_loses_nothing"), 2, Refusals::Spurious, make).unwrap();
}

#[test]
fn stress_weighted_permits_are_linearizable() {
    Stress::new("weighted_permits_are_linearizable").run(
        |_rng| (bulkhead(4), History::new(), AtomicU64::new(0)),
        |(bulkhead, history, clients), ctx| {
            let client = history.client(usize::try_from(clients.fetch_add(1, SeqCst)).unwrap());
            for _ in 0..5 {
                ctx.point();
                let n = 1 + ctx.rng().below(3);
                let (n, weight) = (usize::try_from(n).unwrap(), u32::try_from(n).unwrap());
                let call = client.begin(SemaphoreOp::TryAcquire(n));
                let permit = bulkhead.try_acquire_many(weight);
                call.end(match permit {
                    Ok(_) => SemaphoreRet::Acquired,
                    Err(_) => SemaphoreRet::Refused,
                });
                ctx.point();
                if permit.is_ok() {
                    let call = client.begin(SemaphoreOp::Release(n));
                    drop(permit);
                    call.end(SemaphoreRet::Released);
                }
            }
        },
        |(_, history, _), _threads| check_linearizable(&Semaphore::new(4), history).into_result(),
    );
}

/// Everybody waits, some give up, and the capacity changes all the time: never more are inside than the
/// largest capacity, and everything comes back.
#[test]
fn stress_waits_cancels_and_resizes_lose_nothing() {
    Stress::new("waits_cancels_and_resizes_lose_nothing").run(
        |_rng| (bulkhead(4), AtomicU32::new(0)),
        |(bulkhead, inside), ctx| {
            for _ in 0..8 {
                ctx.point();
                let n = 1 + u32::try_from(ctx.rng().below(2)).unwrap();
                match ctx.rng().below(5) {
                    0 => bulkhead.resize(2 + u32::try_from(ctx.rng().below(3)).unwrap()).unwrap(),
                    1 => {
                        let mut acquire = Box::pin(bulkhead.acquire_many(n));
                        drop(poll(acquire.as_mut()));
                        ctx.point();
                        drop(acquire);
                    }
                    _ => {
                        let permit = block_on(bulkhead.acquire_many(n)).unwrap();
                        let was = inside.fetch_add(n, SeqCst);
                        assert!(was + n <= 4, "{was} and {n} inside");
                        ctx.point();
                        inside.fetch_sub(n, SeqCst);
                        drop(permit);
                    }
                }
            }
        },
        |(bulkhead, _), _threads| {
            let stats = bulkhead.stats();
            let is_idle = stats.in_use == 0 && stats.waiting == 0;
            let all = bulkhead.try_acquire_many(stats.capacity).is_ok();
            if is_idle && all { Ok(()) } else { Err(format!("{stats:?}")) }
        },
    );
}
