//! Functions that block or compute, on the blocking threads of the runtime.
//!
//! A thread is held for the length of one turn, never while the worker waits for items or
//! for room: stages that share a single blocking thread cannot wait for each other.

use super::{
    BLOCKING_TURN, Inlet, Meter, Outbox, Took,
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
    pub(crate) inlet: Inlet<I>,
    pub(crate) outbox: Outbox<O>,
    pub(crate) step: S,
    pub(crate) chunk: ChunkSize,
    pub(crate) cell: Arc<StageCell>,
    pub(crate) shared: Arc<RunShared<E>>,
}

impl<I, O, E, S> Job<I, O, E, S>
where
    E: Display + Debug + Send + Sync + 'static,
    S: Step<I, O, E>,
{
    /// Works until its turn is over, or there is something to wait for, or the run is stopped.
    fn run(&mut self) {
        let mut turn = Duration::ZERO;
        loop {
            turn += self.batch();
            let ends = turn >= BLOCKING_TURN || self.shared.is_stopped();
            if ends || !self.outbox.try_flush() {
                return;
            }
            if self.inlet.work.is_empty() && !self.inlet.try_take(self.chunk.get()) {
                return;
            }
        }
    }

    /// Works on what was taken, and returns how long that took.
    fn batch(&mut self) -> Duration {
        let Self { inlet, outbox, step, chunk, cell, shared } = self;
        let mut lap = Lap::start();
        let before = inlet.work.len();
        // A batch with slow items in it ends early: what is done should not wait for them.
        let in_time = || lap.elapsed() < chunk.limit();
        run_batch(&mut inlet.work, outbox, cell, shared, step, in_time);
        let took = lap.lap();
        cell.spend(Spent::Busy, took, 1);
        chunk.observe(before - inlet.work.len(), took);
        took
    }
}

/// A worker of a blocking stage.
pub(crate) struct BlockingWorker<I, O, E, S> {
    pub(crate) job: Box<Job<I, O, E, S>>,
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
        let Self { mut job, cx } = self;
        let cell = Arc::clone(&job.cell);
        let mut stop = Stop::new(job.shared.token());
        let mut meter = Meter::new(&cell);
        loop {
            if job.inlet.work.is_empty() {
                let max = job.chunk.get();
                if job.inlet.take(max, &mut stop, &mut meter).await != Took::Items {
                    return;
                }
            }
            let task = cx.spawn_blocking(cell.name().clone(), move || {
                job.run();
                Ok(job)
            });
            // Without a job the scope is being torn down, and reports why.
            let Ok(back) = task.await else { return };
            job = back;
            meter.restart();
            if job.outbox.flush(&mut stop, &mut meter).await.is_err() {
                return;
            }
        }
    }
}
