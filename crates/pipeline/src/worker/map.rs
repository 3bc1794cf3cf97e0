//! Synchronous functions: the batch loop, and the worker that runs it in place.

use super::{Inlet, Meter, Outbox, Took, Work};
use crate::{
    ItemErrorKind,
    panic::caught,
    shared::{RunShared, Stop},
    state::chunk::ChunkSize,
    stats::StageCell,
};
use std::{
    fmt::{Debug, Display},
    ops::ControlFlow,
};
use tidegate_core::sync::Arc;

/// What a synchronous stage does with an item.
pub(crate) trait Step<I, O, E> {
    fn call(&mut self, item: I) -> Result<Option<O>, E>;

    /// Called after a panic, before the next item.
    fn recover(&mut self) {}
}

/// A function without state of its own.
pub(crate) struct Plain<F>(pub(crate) Arc<F>);

impl<I, O, E, F: Fn(I) -> Result<Option<O>, E>> Step<I, O, E> for Plain<F> {
    fn call(&mut self, item: I) -> Result<Option<O>, E> {
        (self.0)(item)
    }
}

/// Runs `step` on the items one after the other, until they are done, the run is stopped or
/// `go_on` says no; what was not begun stays in `work`.
///
/// The loop as a whole is what catches a panic, so that an item that does not panic pays
/// nothing: the loop is entered again behind the item that did.
pub(crate) fn run_batch<I, O, E, S>(
    work: &mut Work<I>,
    outbox: &mut Outbox<O>,
    cell: &StageCell,
    shared: &RunShared<E>,
    step: &mut S,
    mut go_on: impl FnMut() -> bool,
) where
    E: Display + Debug + Send + Sync + 'static,
    S: Step<I, O, E>,
{
    let mut filtered = 0;
    outbox.reserve(work.len());
    loop {
        let ended = caught(|| {
            while !shared.is_stopped() {
                let Some(item) = work.take() else { break };
                match step.call(item) {
                    Ok(Some(result)) => outbox.put(work.last_seq(), result),
                    Ok(None) => {
                        filtered += 1;
                        outbox.skip(work.last_seq());
                    }
                    Err(error) => return ControlFlow::Continue(error),
                }
                if !go_on() {
                    break;
                }
            }
            ControlFlow::Break(())
        });
        let kind = match ended {
            Ok(ControlFlow::Break(())) => break,
            Ok(ControlFlow::Continue(error)) => ItemErrorKind::Failed(error),
            Err(message) => {
                step.recover();
                ItemErrorKind::Panicked(message)
            }
        };
        let seq = work.last_seq();
        outbox.skip(seq);
        shared.failed(cell, seq, kind);
        if !go_on() {
            break;
        }
    }
    cell.add_filtered(filtered);
}

/// A worker of a synchronous stage.
pub(crate) struct MapWorker<I, O, E, S> {
    pub(crate) inlet: Inlet<I>,
    pub(crate) outbox: Outbox<O>,
    pub(crate) step: S,
    pub(crate) chunk: ChunkSize,
    pub(crate) cell: Arc<StageCell>,
    pub(crate) shared: Arc<RunShared<E>>,
}

impl<I, O, E, S> MapWorker<I, O, E, S>
where
    E: Display + Debug + Send + Sync + 'static,
    S: Step<I, O, E>,
{
    pub(crate) async fn run(mut self) {
        let mut stop = Stop::new(self.shared.token());
        let mut meter = Meter::new(&self.cell);
        while self.inlet.take(self.chunk.get(), &mut stop, &mut meter).await == Took::Items {
            let items = self.inlet.work.len();
            let work = &mut self.inlet.work;
            run_batch(work, &mut self.outbox, &self.cell, &self.shared, &mut self.step, || true);
            self.chunk.observe(items, meter.worked());
            if self.outbox.flush(&mut stop, &mut meter).await.is_err() {
                break;
            }
            meter.breathe().await;
        }
    }
}
