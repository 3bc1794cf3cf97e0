//! Jobs that wait for jobs of the same pool.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinHandle};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "nested-jobs",
    kind: Kind::Async,
    source: Source::GitHub("nushell/nushell", 18997),
    about: "all workers of a bounded pool wait for stages that need a worker of it",
    tests: everywhere!(scenario),
};

#[derive(Clone)]
struct Pool(Arc<Semaphore>);

impl Pool {
    fn new(workers: usize) -> Self {
        Self(Arc::new(Semaphore::new(workers)))
    }

    fn submit<T: Send + 'static>(
        &self,
        job: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let workers = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _worker = workers.acquire().await.unwrap();
            job.await
        })
    }
}

/// Each chunk is a job, and so is each of its two halves.
async fn sum(chunks: u64, pool: &Pool, halves: &Pool) -> u64 {
    let jobs: Vec<_> = (0..chunks)
        .map(|chunk| {
            let halves = halves.clone();
            pool.submit(async move {
                let parts = [chunk, 1].map(|half| halves.submit(async move { half }));
                let [a, b] = parts;
                a.await.unwrap() + b.await.unwrap()
            })
        })
        .collect();
    let mut sum = 0;
    for job in jobs {
        sum += job.await.unwrap();
    }
    sum
}

async fn scenario(variant: Variant) {
    let pool = Pool::new(2);
    let halves = if variant.has_bug() { pool.clone() } else { Pool::new(2) };
    assert_eq!(sum(4, &pool, &halves).await, 10);
}
