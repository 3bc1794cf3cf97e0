//! Four stages that hand numbers on.

use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
};
use std::convert::Infallible;
use tidegate_core::{Cx, scope};
use tidegate_pipeline::Pipeline;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

/// As many numbers in the queue of a hop, for us and for the peer.
const CAPACITY: usize = 2048;

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let items: u64 = if plan.quick { 50_000 } else { 500_000 };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let current = Builder::new_current_thread().enable_all().build().unwrap();
    let mut ratios = Vec::new();
    for (runtime, place, target) in
        [(&runtime, "2 workers", Some(0.05)), (&current, "current thread", None)]
    {
        let op = format!("4 identity stages of u64, {place}");
        let contest = Contest::new(op, Cost::Wall, plan.rounds(15), || ours(runtime, items))
            .against("tokio mpsc between tasks", target, || channels(runtime, items))
            .against("tokio mpsc of Vec<u64; 64>, by hand", None, || chunks(runtime, items));
        ratios.extend(contest.run());
    }
    ratios
}

/// From a worker of the runtime, as a service would.
fn on_worker(runtime: &Runtime, work: impl Future<Output = u64> + Send + 'static) -> u64 {
    runtime.block_on(runtime.spawn(work)).unwrap()
}

fn ours(runtime: &Runtime, items: u64) -> u64 {
    on_worker(runtime, async move {
        let sum = scope("bench", async |cx: Cx<Infallible>| {
            let mut sum = 0;
            let pipeline = Pipeline::<u64, Infallible>::from_iter("numbers", 0..items)
                .map("one", Ok)
                .map("two", Ok)
                .map("three", Ok)
                .map("four", Ok);
            let summary = pipeline
                .for_each_chunk(&cx, |chunk| {
                    sum += chunk.drain(..).sum::<u64>();
                    Ok(())
                })
                .await
                .unwrap();
            assert_eq!(summary.delivered(), items);
            Ok(sum)
        });
        sum.await.unwrap()
    })
}

fn channels(runtime: &Runtime, items: u64) -> u64 {
    on_worker(runtime, async move {
        let (source, mut receiver) = mpsc::channel(CAPACITY);
        tokio::spawn(async move {
            for n in 0..items {
                source.send(n).await.unwrap();
            }
        });
        for _ in 0..4 {
            let (sender, next) = mpsc::channel(CAPACITY);
            let mut input = std::mem::replace(&mut receiver, next);
            tokio::spawn(async move {
                while let Some(n) = input.recv().await {
                    sender.send(n).await.unwrap();
                }
            });
        }
        let mut sum = 0;
        while let Some(n) = receiver.recv().await {
            sum += n;
        }
        sum
    })
}

/// The floor: what a patient user would write by hand for numbers that are all there at once.
fn chunks(runtime: &Runtime, items: u64) -> u64 {
    const CHUNK: u64 = 64;
    on_worker(runtime, async move {
        let (source, mut receiver) = mpsc::channel::<Vec<u64>>(CAPACITY / 64);
        tokio::spawn(async move {
            let mut next = 0;
            while next < items {
                let end = items.min(next + CHUNK);
                source.send((next..end).collect()).await.unwrap();
                next = end;
            }
        });
        for _ in 0..4 {
            let (sender, next) = mpsc::channel(CAPACITY / 64);
            let mut input = std::mem::replace(&mut receiver, next);
            tokio::spawn(async move {
                while let Some(chunk) = input.recv().await {
                    sender
                        .send(chunk.into_iter().map(std::hint::black_box).collect())
                        .await
                        .unwrap();
                }
            });
        }
        let mut sum = 0;
        while let Some(chunk) = receiver.recv().await {
            sum += chunk.into_iter().sum::<u64>();
        }
        sum
    })
}
