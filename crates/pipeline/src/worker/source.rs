//! The source: takes what the stream has ready, up to a chunk, and hands it on at once.

use super::{Meter, Outbox};
use crate::{
    ItemErrorKind,
    clock::Lap,
    panic::caught,
    shared::{RunShared, Stop},
    state::chunk::ChunkSize,
    stats::{Spent, StageCell},
};
use std::{
    fmt::{Debug, Display},
    future::poll_fn,
    task::{Context, Poll},
};
use tidegate_core::sync::Arc;

/// After how many items the source asks for the time, which costs more than a cheap item.
const STRIDE: usize = 128;

/// How filling a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// The chunk is full, or the stream has nothing ready.
    Items,
    Ended,
    Stopped,
}

pub(crate) struct SourceWorker<T, E> {
    pub(crate) outbox: Outbox<T>,
    pub(crate) chunk: ChunkSize,
    pub(crate) cell: Arc<StageCell>,
    pub(crate) shared: Arc<RunShared<E>>,
}

impl<T, E: Display + Debug + Send + Sync + 'static> SourceWorker<T, E> {
    pub(crate) async fn run<N>(mut self, mut next: N)
    where
        N: FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>>,
    {
        let mut stop = Stop::new(self.shared.token());
        let mut meter = Meter::new(&self.cell);
        let mut seq = 0;
        loop {
            let mut waited = false;
            let filled = poll_fn(|cx| {
                if stop.is_set() {
                    return Poll::Ready(Filled::Stopped);
                }
                if std::mem::take(&mut waited) {
                    meter.waited(Spent::Starved);
                }
                let polled = self.poll_fill(cx, &mut seq, &mut next);
                if polled.is_pending() {
                    waited = true;
                    return stop.poll(cx).map(|()| Filled::Stopped);
                }
                polled
            })
            .await;
            self.chunk.observe(self.outbox.len(), meter.worked());
            if self.outbox.flush(&mut stop, &mut meter).await.is_err() || filled != Filled::Items {
                if filled == Filled::Ended {
                    self.shared.source_has_ended();
                }
                return;
            }
            meter.breathe().await;
        }
    }

    /// Fills the outbox; pending only if it is empty.
    fn poll_fill<N>(&mut self, cx: &mut Context<'_>, seq: &mut u64, next: &mut N) -> Poll<Filled>
    where
        N: FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>>,
    {
        let max = self.chunk.get();
        let (lap, limit) = (Lap::start(), self.chunk.limit());
        // Items that fail fill the chunk, too: a source of nothing else must end its turn.
        for _ in 0..max {
            let before = self.outbox.len();
            let (outbox, shared) = (&mut self.outbox, &self.shared);
            let some = (before + STRIDE).min(max);
            let polled = caught(|| {
                while outbox.len() < some && !shared.is_stopped() {
                    match next(cx) {
                        Poll::Ready(Some(Ok(item))) => outbox.put(0, item),
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                        Poll::Ready(None) => return Poll::Ready(None),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Poll::Ready(Some(Ok(())))
            });
            let new = self.outbox.len() - before;
            self.cell.add_entered(new);
            *seq += new as u64;
            match polled {
                Ok(Poll::Ready(None)) => return Poll::Ready(Filled::Ended),
                Ok(Poll::Pending) if self.outbox.is_empty() => return Poll::Pending,
                Ok(Poll::Pending) => return Poll::Ready(Filled::Items),
                Ok(Poll::Ready(Some(Ok(())))) => {
                    // Items that used to be cheap may become slow in the middle of a chunk.
                    let ends = self.outbox.len() >= max || lap.elapsed() > limit;
                    if ends || self.shared.is_stopped() {
                        return Poll::Ready(Filled::Items);
                    }
                }
                Ok(Poll::Ready(Some(Err(error)))) => {
                    self.cell.add_entered(1);
                    self.shared.failed(&self.cell, *seq, ItemErrorKind::Failed(error));
                    *seq += 1;
                    if self.shared.is_stopped() {
                        return Poll::Ready(Filled::Stopped);
                    }
                }
                Err(message) => {
                    self.shared.panicked(self.cell.name(), message);
                    return Poll::Ready(Filled::Stopped);
                }
            }
        }
        Poll::Ready(Filled::Items)
    }
}
