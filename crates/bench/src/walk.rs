//! Walking a tree like a source checkout.

use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
    peers, syscalls, tree,
};
use futures::StreamExt;
use std::path::Path;
use tidegate_fs_walk::{Order, Walk};
use tokio::runtime::Runtime;

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let shape = if plan.quick { tree::SMALL } else { tree::CHECKOUT };
    let root = tree::checkout(shape);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut ratios = visit(plan, &root);
    ratios.extend(stream(plan, &root, &runtime));
    ratios.extend(sorted(plan, &root, &runtime));
    ratios.extend(syscalls::per_directory(&root, shape.dirs));
    ratios
}

fn visit(plan: Plan, root: &Path) -> Vec<Ratio> {
    let rounds = plan.rounds(15);
    let mut ratios =
        Contest::new("sync visitor, 2 threads", Cost::Cpu, rounds, || peers::walk(root, 2))
            .against("ignore::WalkParallel, 2 threads", 0.75, || peers::ignore(root, 2))
            .run();
    let single = Contest::new("sync visitor, 1 thread", Cost::Cpu, rounds, || peers::walk(root, 1))
        .against("walkdir", 0.85, || peers::walkdir(root));
    ratios.extend(single.run());
    ratios
}

fn stream(plan: Plan, root: &Path, runtime: &Runtime) -> Vec<Ratio> {
    Contest::new("async stream", Cost::Wall, plan.rounds(9), || {
        runtime.block_on(entries(&Walk::new(root).threads(2)))
    })
    .against("tokio::fs::read_dir recursion", 0.5, || {
        runtime.block_on(peers::tokio_fs(root.to_owned())).unwrap()
    })
    .against("walkdir (sync)", 1.0, || peers::walkdir(root))
    .run()
}

fn sorted(plan: Plan, root: &Path, runtime: &Runtime) -> Vec<Ratio> {
    let rounds = plan.rounds(5);
    let walk = Walk::new(root).threads(2).order(Order::Sorted);
    let mut ratios = Contest::new("sorted async stream", Cost::Wall, rounds, || {
        runtime.block_on(entries(&walk))
    })
    .against("walkdir, sorted by name (sync)", None, || {
        let sorted = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name();
        sorted.into_iter().map(|entry| u64::from(entry.is_ok())).sum::<u64>()
    })
    .run();
    let slowest = Contest::new("async stream", Cost::Wall, plan.rounds(3).min(3), || {
        runtime.block_on(entries(&Walk::new(root).threads(2)))
    })
    .against("async-walkdir", 0.04, || runtime.block_on(peers::async_walkdir(root)));
    ratios.extend(slowest.run());
    ratios
}

async fn entries(walk: &Walk) -> u64 {
    let mut stream = walk.stream();
    let mut entries = 0;
    while let Some(entry) = stream.next().await {
        entries += u64::from(entry.unwrap().depth() > 0);
    }
    entries
}
