//! Tasks that wait until they are cancelled: the memory they lie in, and their end.

use super::{Place, count};
use crate::{
    Plan,
    alloc::allocated,
    clock::Stopwatch,
    contest::{Contest, Cost, Done, Ratio},
};
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidegate_core::{Cx, scope};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

const TASKS: u64 = 10_000;

pub(crate) fn counts() -> Vec<Ratio> {
    let mut ratios = Vec::new();
    // An abort reaches any task that waits; by a token it sees a cancellation before that.
    for (case, peer, target) in
        [("parked", "JoinSet", None), ("cancellable", "JoinSet and child tokens", Some(0.75))]
    {
        let ours = allocated(&format!("{case} ours"), TASKS).live;
        let theirs = allocated(&format!("{case} {peer}"), TASKS).live;
        let op = format!("live memory of a {case} task");
        ratios.push(count(&op, "bytes", ours, 320.0, TASKS));
        let ratio = Ratio { target, ..count(&op, "bytes", ours / theirs, 0.0, TASKS) };
        ratios.push(Ratio { peer: peer.to_owned(), ..ratio });
    }
    ratios
}

pub(crate) fn run(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let rounds = plan.rounds(31);
    let op = format!("cancel and join {TASKS} parked tasks, {}", place.name);
    let mut ratios = Contest::new(op, Cost::Wall, rounds, || place.run(cancel_ours()))
        .against("JoinSet and child tokens", 0.5, || place.run(cancel_join_set()))
        .against("JoinSet::shutdown", None, || place.run(shutdown()))
        .run();
    let op = format!("abort and join {TASKS} parked tasks, {}", place.name);
    let abort = Contest::new(op, Cost::Wall, rounds, || place.run(drop_ours())).against(
        "JoinSet::shutdown",
        None,
        || place.run(shutdown()),
    );
    ratios.extend(abort.run());
    ratios
}

/// Counts the tasks that have begun.
#[derive(Clone, Default)]
struct Begun(Arc<AtomicU64>);

impl Begun {
    fn one(self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all have begun and are suspended.
    async fn all(self) {
        while self.0.load(Ordering::Relaxed) < TASKS {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Only the end is compared.
fn done(work: u64, watch: Stopwatch) -> Done {
    Done { work, spent: Some(watch.stop()) }
}

async fn cancel_ours() -> Done {
    let cancelled = scope("parked", async |cx: Cx<Infallible>| {
        let begun = Begun::default();
        for _ in 0..TASKS {
            let (child, begun) = (cx.clone(), begun.clone());
            cx.spawn("parked", async move {
                begun.one();
                child.run(pending::<()>()).await.unwrap_err();
                Ok(())
            });
        }
        begun.all().await;
        let (live, watch) = (cx.live(), Stopwatch::start());
        cx.cancel("the end");
        Ok((live, watch))
    });
    let (live, watch) = cancelled.await.unwrap();
    done(live as u64, watch)
}

/// Drops the scope's future, and the scope around it waits for the children.
async fn drop_ours() -> Done {
    let dropped = scope("around", async |cx: Cx<Infallible>| {
        let begun = Begun::default();
        let all = begun.clone();
        let parked = cx.scope("parked", async move |cx: Cx<Infallible>| {
            for _ in 0..TASKS {
                let begun = begun.clone();
                cx.spawn("parked", async move {
                    begun.one();
                    pending::<Result<(), _>>().await
                });
            }
            pending::<Result<(), _>>().await
        });
        let are_parked = async {
            all.all().await;
            Stopwatch::start()
        };
        Ok(tokio::select! {
            _ = parked => unreachable!("its body never ends"),
            watch = are_parked => watch,
        })
    });
    let watch = dropped.await.unwrap();
    done(TASKS, watch)
}

async fn cancel_join_set() -> Done {
    let (token, begun, mut set) = (CancellationToken::new(), Begun::default(), JoinSet::new());
    for _ in 0..TASKS {
        let (token, begun) = (token.child_token(), begun.clone());
        set.spawn(async move {
            begun.one();
            assert!(token.run_until_cancelled(pending::<()>()).await.is_none());
        });
    }
    begun.all().await;
    let (live, watch) = (set.len(), Stopwatch::start());
    token.cancel();
    while let Some(ended) = set.join_next().await {
        ended.unwrap();
    }
    done(live as u64, watch)
}

async fn shutdown() -> Done {
    let (begun, mut set) = (Begun::default(), JoinSet::new());
    for _ in 0..TASKS {
        let begun = begun.clone();
        set.spawn(async move {
            begun.one();
            pending::<()>().await;
        });
    }
    begun.all().await;
    let (live, watch) = (set.len(), Stopwatch::start());
    set.shutdown().await;
    done(live as u64, watch)
}
