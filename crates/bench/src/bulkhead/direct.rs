//! A permit that is taken and given back.

use super::services::ROOM;
use crate::{
    Plan,
    contest::{Contest, Cost, Done, Ratio},
    threads::together,
};
use std::{hint::black_box, sync::Arc};
use tidegate_bulkhead::Bulkhead;
use tokio::sync::Semaphore;

/// How often one thread takes one in one measurement: for some milliseconds, in which a busy machine may leave two
/// threads a processor each.
const TIMES: u64 = 100_000;

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for threads in [1, 2] {
        let named = |what: &str| match threads {
            1 => format!("{what}, 1 thread"),
            n => format!("{what}, {n} threads"),
        };
        let make = || Bulkhead::builder(ROOM).build().unwrap();
        let semaphore = || Arc::new(Semaphore::new(ROOM as usize));
        let contest =
            Contest::new(named("a permit that borrows"), Cost::Cpu, plan.rounds(41), || {
                taken(plan, threads, make, |bulkhead| bulkhead.try_acquire_ref(1).is_ok())
            })
            .against("tokio Semaphore", 1.0, || {
                taken(plan, threads, semaphore, |semaphore| semaphore.try_acquire().is_ok())
            });
        ratios.extend(contest.run());
        let contest = Contest::new(named("a permit that owns"), Cost::Cpu, plan.rounds(41), || {
            taken(plan, threads, make, |bulkhead| bulkhead.try_acquire().is_ok())
        })
        .against("tokio Semaphore", 1.0, || {
            let take =
                |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_owned().is_ok();
            taken(plan, threads, semaphore, take)
        });
        ratios.extend(contest.run());
    }
    ratios
}

fn taken<L: Sync>(
    plan: Plan,
    threads: usize,
    make: impl Fn() -> L,
    take: impl Fn(&L) -> bool + Sync,
) -> Done {
    let times = plan.size(TIMES, TIMES / 2);
    let take = &take;
    let done = together(threads, || {
        let limit = make();
        move || (0..times).map(|_| u64::from(take(black_box(&limit)))).sum()
    });
    assert_eq!(done.work, times * threads as u64, "there was room for all");
    done
}
