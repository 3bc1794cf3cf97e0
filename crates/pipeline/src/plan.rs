//! How stages are put together: a queue in front of each, and its workers around it.

use crate::{
    Pipeline, Stage, StageKind,
    pipeline::Tail,
    queue::{Consumer, Producer, Queue, Sweep},
    shared::Launch,
    state::chunk::ChunkSize,
    stats::StageCell,
    worker::Outbox,
};
use std::{
    fmt::{Debug, Display},
    time::Duration,
};
use tidegate_core::sync::Arc;

/// What a worker gets: its ends of the queues, and its share of the stage's slots.
pub(crate) struct Port<I, O> {
    pub(crate) consumer: Consumer<I>,
    pub(crate) outbox: Outbox<O>,
    pub(crate) chunk: ChunkSize,
    pub(crate) cell: Arc<StageCell>,
    pub(crate) slots: usize,
}

/// One worker per slot.
pub(crate) fn one_slot_each(slots: usize, _cores: usize) -> Vec<usize> {
    vec![1; slots]
}

/// As many workers as there are cores, and slots for all of them.
pub(crate) fn spread(slots: usize, cores: usize) -> Vec<usize> {
    let workers = slots.min(cores).max(1);
    (0..workers).map(|n| slots / workers + usize::from(n < slots % workers)).collect()
}

pub(crate) fn sink(stage: Stage) -> (Stage, Arc<StageCell>) {
    let cell = StageCell::new(stage.name.clone(), StageKind::Sink, 1, stage.capacity);
    (stage, Arc::new(cell))
}

impl<T, E> Pipeline<T, E>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    /// Adds a stage whose slots are split among workers by `split`; `spawn` starts one.
    pub(crate) fn add<O, W>(
        self,
        stage: impl Into<Stage>,
        kind: StageKind,
        target: Duration,
        split: fn(usize, usize) -> Vec<usize>,
        spawn: W,
    ) -> Pipeline<O, E>
    where
        O: Send + 'static,
        W: Fn(Port<T, O>, &mut Launch<E>) + Send + 'static,
    {
        let Self { name, policy, mut cells, sink, clock, tail } = self;
        let stage = stage.into();
        let cell =
            Arc::new(StageCell::new(stage.name.clone(), kind, stage.concurrency, stage.capacity));
        let input = queue_to(&cells, &cell, stage.capacity);
        cells.push(Arc::clone(&cell));
        let tail: Tail<O, E> = Box::new(move |out, launch| {
            // Each end of a queue is there before the other end starts: consumers before the
            // stages in front, which see a queue without any as closed.
            let slots = split(stage.concurrency, Launch::<E>::cores());
            let consumers: Vec<_> =
                slots.iter().map(|_| Consumer::new(&input, slots.len())).collect();
            tail(&input, launch);
            let reordering = stage.is_reordering();
            if reordering {
                out.set_ordered(&input, stage.reorder_window());
            }
            launch.queues.push(Arc::clone(&input) as Arc<dyn Sweep>);
            let ports: Vec<_> = consumers
                .into_iter()
                .zip(slots)
                .map(|(consumer, slots)| Port {
                    consumer,
                    outbox: Outbox::new(Producer::new(out), reordering, &cell),
                    chunk: ChunkSize::new(stage.max_batch(), target),
                    cell: Arc::clone(&cell),
                    slots,
                })
                .collect();
            for port in ports {
                spawn(port, launch);
            }
        });
        Pipeline { name, policy, cells, sink, clock, tail }
    }
}

/// The queue in front of the stage `to`, behind the last of `cells`.
pub(crate) fn queue_to<T>(
    cells: &[Arc<StageCell>],
    to: &Arc<StageCell>,
    capacity: usize,
) -> Arc<Queue<T>> {
    // There is always a source; a queue from a stage to itself would only miscount.
    let from = cells.last().unwrap_or(to);
    Arc::new(Queue::new(capacity, Arc::clone(from), Arc::clone(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_spread_evenly_and_none_is_lost() {
        assert_eq!(spread(1, 8), [1]);
        assert_eq!(spread(7, 3), [3, 2, 2]);
        assert_eq!(spread(32, 2), [16, 16]);
        assert_eq!(one_slot_each(3, 2), [1, 1, 1]);
    }
}
