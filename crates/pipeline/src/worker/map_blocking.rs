//! Functions that block or compute, on the blocking threads of the runtime.
//!
//! A thread is held for the length of one batch, never while the worker waits for items or
//! for room: stages that share a single blocking thread cannot wait for each other.

use super::{
    Inlet, Meter, Outbox, Took, Work,
    map::{Step, run_batch},
};
use crate::{
    clock::Lap,
    panic::drop_quietly,
    shared::{RunShared, Stop},
    state::chunk::ChunkSize,
    stats::{Spent, StageCell},
};
use std::{
    convert::Infallible,
    fmt::{Debug, Display},
    time::Duration,
};
use tidegate_core::{Cx, sync::Arc};

/// After how many items a batch looks at the clock, which costs some 30 ns.
const CLOCK_STRIDE: u32 = 8;

/// A function with state of its worker, made anew after a panic.
pub(crate) struct Stateful<S, Init, F> {
    pub(crate) init: Arc<Init>,
    pub(crate) function: Arc<F>,
    pub(crate) state: Option<S>,
}

impl<I, O, E, S, Init, F> Step<I, O, E> for Stateful<S, Init, F>
where
    Init: Fn() -> S,
    F: Fn(&mut S, I) -> Result<Option<O>, E>,
{
    fn call(&mut self, item: I) -> Result<Option<O>, E> {
        let state = self.state.get_or_insert_with(|| (self.init)());
        (self.function)(state, item)
    }

    fn recover(&mut self) {
        drop_quietly(self.state.take());
    }
}

/// What travels to the blocking thread and back.
pub(crate) struct Job<I, O, E, S> {
    pub(crate) work: Work<I>,
    pub(crate) outbox: Outbox<O>,
    pub(crate) step: S,
    pub(crate) cell: Arc<StageCell>,
    pub(crate) shared: Arc<RunShared<E>>,
    pub(crate) limit: Duration,
    pub(crate) done: usize,
    pub(crate) took: Duration,
}

impl<I, O, E, S> Job<I, O, E, S>
where
    E: Display + Debug + Send + Sync + 'static,
    S: Step<I, O, E>,
{
    fn run(&mut self) {
        let mut lap = Lap::start();
        let before = self.work.len();
        // A batch with slow items in it ends early: what is done should not wait for them.
        let mut done = 0_u32;
        let in_time = || {
            done += 1;
            done % CLOCK_STRIDE != 0 || lap.elapsed() < self.limit
        };
        let work = &mut self.work;
        run_batch(work, &mut self.outbox, &self.cell, &self.shared, &mut self.step, in_time);
        self.done = before - self.work.len();
        self.took = lap.lap();
        self.cell.spend(Spent::Busy, self.took, 1);
    }
}

/// A worker of a blocking stage.
pub(crate) struct BlockingWorker<I, O, E, S> {
    pub(crate) inlet: Inlet<I>,
    pub(crate) job: Box<Job<I, O, E, S>>,
    pub(crate) chunk: ChunkSize,
    pub(crate) cx: Cx<Infallible>,
}

impl<I, O, E, S> BlockingWorker<I, O, E, S>
where
    I: Send + 'static,
    O: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
    S: Step<I, O, E> + Send + 'static,
{
    pub(crate) async fn run(self) {
        let Self { mut inlet, mut job, mut chunk, cx } = self;
        let cell = Arc::clone(&job.cell);
        let mut stop = Stop::new(job.shared.token());
        let mut meter = Meter::new(&cell);
        loop {
            if job.work.is_empty() {
                if inlet.take(chunk.get(), &mut stop, &mut meter).await != Took::Items {
                    return;
                }
                std::mem::swap(&mut inlet.work, &mut job.work);
            }
            let task = cx.spawn_blocking(cell.name().clone(), move || {
                job.run();
                Ok(job)
            });
            // Without a job the scope is being torn down, and reports why.
            let Ok(back) = task.await else { return };
            job = back;
            meter.restart();
            chunk.observe(job.done, job.took);
            if job.outbox.flush(&mut stop, &mut meter).await.is_err() {
                return;
            }
        }
    }
}
