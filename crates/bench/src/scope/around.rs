//! What comes from the scopes around: values and deadlines.

use super::Place;
use crate::{
    Plan,
    clock::Stopwatch,
    contest::{Contest, Cost, Done, Ratio},
};
use std::{convert::Infallible, hint::black_box, pin::Pin, time::Duration};
use tidegate_core::{Cx, Placed, Scope};
use tokio::{task::yield_now, task_local, time::timeout};

const GETS: u64 = 1_000_000;
const CALLS: u64 = 20_000;
const LATER: Duration = Duration::from_secs(10_000);

pub(crate) fn run(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let mut ratios = deadlines(plan, place);
    if place.is_current_thread {
        ratios.extend(values(plan, place));
    }
    ratios
}

fn values(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let rounds = plan.rounds(31);
    let mut ratios = Vec::new();
    for depth in [8, 32] {
        let op = format!("value of a scope {depth} above");
        let contest = Contest::new(op, Cost::Wall, rounds, move || place.run(ours(depth)))
            .against("of the scope itself", 1.1, || place.run(ours(0)))
            .against("tokio::task_local!", None, || place.run(local()));
        ratios.extend(contest.run());
    }
    ratios
}

struct Answer(u64);

async fn ours(depth: u32) -> Done {
    let outermost = Scope::builder("outermost").value(Answer(1));
    outermost.run(async |cx: Cx<Infallible>| Ok(get_below(cx, depth).await)).await.unwrap()
}

fn get_below(cx: Cx<Infallible>, depth: u32) -> Pin<Box<dyn Future<Output = Done> + Send>> {
    Box::pin(async move {
        if depth > 0 {
            let nested = cx.scope("nested", async |cx| Ok(get_below(cx, depth - 1).await));
            return nested.await.unwrap();
        }
        get(|| black_box(&cx).value::<Answer>().unwrap().0)
    })
}

/// Only the gets are compared.
fn get(get: impl Fn() -> u64) -> Done {
    let watch = Stopwatch::start();
    let work = (0..GETS).map(|_| get()).sum();
    Done { work, spent: Some(watch.stop()) }
}

task_local! {
    static ANSWER: Answer;
}

async fn local() -> Done {
    ANSWER.scope(Answer(1), async { get(|| black_box(&ANSWER).with(|answer| answer.0)) }).await
}

/// A call with less time around it than it has itself.
fn deadlines(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let op = format!("nested scope with a later deadline, {}", place.name);
    Contest::new(op, Cost::Wall, plan.rounds(31), || place.run(calls(Way::Nested)))
        .against("tokio::time::timeout", 0.3, || place.run(calls(Way::Timeout)))
        .against("nested scope in tokio::time::timeout", None, || place.run(calls(Way::Both)))
        .run()
}

#[derive(Clone, Copy)]
enum Way {
    Nested,
    Timeout,
    Both,
}

/// Calls that wait once, one after the other.
async fn calls(way: Way) -> u64 {
    let request = Scope::builder("request").timeout(LATER / 2);
    let calls = request.run(async |cx: Cx<Infallible>| {
        for _ in 0..CALLS {
            match way {
                Way::Nested => call(Scope::builder("call").parent(&cx).timeout(LATER)).await,
                Way::Timeout => timeout(LATER, yield_now()).await.unwrap(),
                Way::Both => {
                    timeout(LATER, call(Scope::builder("call").parent(&cx))).await.unwrap();
                }
            }
        }
        Ok(CALLS)
    });
    calls.await.unwrap()
}

async fn call(nested: Scope<Placed>) {
    let waiting = nested.run(async |_: Cx<Infallible>| {
        yield_now().await;
        Ok(())
    });
    waiting.await.unwrap();
}
