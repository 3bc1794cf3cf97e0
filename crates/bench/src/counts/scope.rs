//! Children that end at once, and children that wait.

use std::{any::Any, convert::Infallible, fmt::Debug, future::pending, hint::black_box};
use tidegate_core::{Cx, scope};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, yield_now},
};
use tokio_util::sync::CancellationToken;

const BATCH: u64 = 1_000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// As many batches as `times` children need.
fn batches<F: Future>(times: u64, batch: impl Fn() -> F) -> Box<dyn Any> {
    runtime().block_on(async {
        for _ in 0..times.div_ceil(BATCH) {
            batch().await;
        }
    });
    Box::new(())
}

pub(crate) fn spawned_ours(times: u64) -> Box<dyn Any> {
    batches(times, || ours(|_| ()))
}

pub(crate) fn spawned_join_set(times: u64) -> Box<dyn Any> {
    batches(times, || join_set(|_| ()))
}

pub(crate) fn numbers_ours(times: u64) -> Box<dyn Any> {
    batches(times, || ours(|n| n))
}

pub(crate) fn numbers_join_set(times: u64) -> Box<dyn Any> {
    batches(times, || join_set(|n| n))
}

pub(crate) fn boxed_ours(times: u64) -> Box<dyn Any> {
    batches(times, || ours(Box::new))
}

pub(crate) fn boxed_join_set(times: u64) -> Box<dyn Any> {
    batches(times, || join_set(Box::new))
}

async fn ours<T: Debug + Send + 'static>(make: fn(u64) -> T) {
    let batch = scope("batch", async |cx: Cx<Infallible>| {
        let mut tasks = Vec::new();
        for n in 0..BATCH {
            tasks.push(cx.spawn("number", async move { Ok(make(n)) }));
        }
        for task in tasks {
            black_box(task.await.unwrap());
        }
        Ok(())
    });
    batch.await.unwrap();
}

async fn join_set<T: Send + 'static>(make: fn(u64) -> T) {
    let mut set = JoinSet::new();
    for n in 0..BATCH {
        set.spawn(async move { make(n) });
    }
    while let Some(result) = set.join_next().await {
        black_box(result.unwrap());
    }
}

/// Until each of so many tasks was polled.
async fn settle(times: u64) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Each waits for something, and is aborted when the scope is.
pub(crate) fn parked_ours(times: u64) -> Box<dyn Any> {
    parked(times, |cx| drop(cx.spawn("parked", pending::<Result<(), _>>())))
}

/// Each sees the cancellation, and ends by itself.
pub(crate) fn cancellable_ours(times: u64) -> Box<dyn Any> {
    parked(times, |cx| {
        let child = cx.clone();
        cx.spawn("parked", async move {
            child.run(pending::<()>()).await.unwrap_err();
            Ok(())
        });
    })
}

/// The runtime comes last, so that it outlives what runs on it.
fn parked(times: u64, spawn: fn(&Cx<Infallible>)) -> Box<dyn Any> {
    let runtime = runtime();
    let mut scope = Box::pin(scope("parked", async move |cx: Cx<Infallible>| {
        for _ in 0..times {
            spawn(&cx);
        }
        Ok(())
    }));
    runtime.block_on(async {
        assert!(futures::poll!(&mut scope).is_pending());
        settle(times).await;
    });
    Box::new((scope, runtime))
}

pub(crate) fn cancellable_join_set(times: u64) -> Box<dyn Any> {
    let (runtime, token) = (runtime(), CancellationToken::new());
    let mut set = JoinSet::new();
    for _ in 0..times {
        let token = token.child_token();
        set.spawn_on(
            async move { assert!(token.run_until_cancelled(pending::<()>()).await.is_none()) },
            runtime.handle(),
        );
    }
    runtime.block_on(settle(times));
    Box::new((set, token, runtime))
}

pub(crate) fn parked_join_set(times: u64) -> Box<dyn Any> {
    let runtime = runtime();
    let mut set = JoinSet::new();
    for _ in 0..times {
        set.spawn_on(pending::<()>(), runtime.handle());
    }
    runtime.block_on(settle(times));
    Box::new((set, runtime))
}
