//! The results of a run as a stream.

use crate::{
    Pipeline, PipelineError, Summary,
    queue::{Consumer, Popped},
    run::{Books, Ended, Run},
    shared::RunShared,
    stats::{Spent, StageCell},
    worker::Meter,
};
use futures_core::Stream;
use std::{
    collections::VecDeque,
    fmt::{self, Debug, Display},
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tidegate_core::{
    CancelToken, Cause, Cx,
    sync::{Arc, Mutex, lock},
};
use tokio::sync::oneshot;

/// Why the run of a dropped stream is cancelled.
const DROPPED: &str = "the stream of results was dropped";

/// How many items the stream takes out of the last queue at once.
const STREAM_BATCH: usize = 64;

/// The results of a running pipeline, made by [`Pipeline::stream`].
///
/// It ends after the last result, or with the error that ended the run. Dropping it before
/// cancels the run; the scope it was started in waits until the workers have ended.
#[must_use = "dropping the stream cancels the run"]
pub struct PipelineStream<T, E> {
    consumer: Consumer<T>,
    /// Items that were taken and not yet given out.
    chunk: VecDeque<T>,
    batch: usize,
    cell: Arc<StageCell>,
    meter: Meter,
    waiting: bool,
    books: Books,
    end: End<E>,
    progress: Arc<Mutex<Progress>>,
    scope: CancelToken,
}

/// Whether the run can be told that the stream was dropped.
enum Progress {
    Starting,
    Running(CancelToken),
    Dropped,
}

/// The run has a token now; cancels it if it came too late.
fn started_as(progress: &Mutex<Progress>, token: &CancelToken) {
    let before = std::mem::replace(&mut *lock(progress), Progress::Running(token.clone()));
    if matches!(before, Progress::Dropped) {
        token.cancel(DROPPED);
    }
}

/// How far the end of the run is.
enum End<E> {
    Awaited(oneshot::Receiver<Ended<E>>),
    /// The workers have ended, or never began; the last results may still be queued.
    Known(Option<Ended<E>>),
    Told(Option<Summary<E>>),
}

impl<T, E> PipelineStream<T, E>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    pub(crate) fn start<X>(pipeline: Pipeline<T, E>, cx: &Cx<X>) -> Self
    where
        X: Display + Debug + Send + Sync + 'static,
    {
        let (stage, cell) = pipeline.sink.clone();
        let name = pipeline.name.clone();
        let (run, consumer) = Run::new(pipeline);
        let books = run.books().clone();
        let unasked = books.clone();
        let progress = Arc::new(Mutex::new(Progress::Starting));
        let (tell, ended) = oneshot::channel();
        let (started, scope) = (Arc::clone(&progress), cx.clone());
        drop(cx.spawn(name, async move {
            let consume = |shared: Arc<RunShared<E>>| {
                started_as(&started, shared.token());
                std::future::ready(())
            };
            let ended = run.drive(&scope, consume).await;
            if let Err(ended) = tell.send(ended) {
                // Nobody will ask how the run ended: the event about it is all there is.
                drop(unasked.close(ended));
            }
            Ok(())
        }));
        Self {
            consumer,
            chunk: VecDeque::new(),
            batch: stage.batch.min(STREAM_BATCH),
            meter: Meter::new(&cell),
            cell,
            waiting: false,
            books,
            end: End::Awaited(ended),
            progress,
            scope: cx.token().clone(),
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), PipelineError<E>>>> {
        ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
        loop {
            let popped = self.consumer.poll_pop(cx, self.batch, &mut self.chunk);
            if let Poll::Ready(Popped::Items(_)) = popped {
                self.cell.add_left(self.chunk.len());
                return Poll::Ready(Some(Ok(())));
            }
            match &mut self.end {
                // The workers may have handed on their last results since the look above.
                End::Awaited(ended) => {
                    self.end = End::Known(ready!(Pin::new(ended).poll(cx)).ok());
                }
                End::Known(ended) => {
                    let closed = match ended.take() {
                        Some(ended) => self.books.close(ended),
                        None => Err(self.books.refuse(self.why_refused())),
                    };
                    let (summary, error) = match closed {
                        Ok(summary) => (Some(summary), None),
                        Err(error) => (None, Some(error)),
                    };
                    self.end = End::Told(summary);
                    return Poll::Ready(error.map(Err));
                }
                End::Told(_) => return Poll::Ready(None),
            }
        }
    }

    fn why_refused(&self) -> Cause {
        self.scope.cause().unwrap_or_else(|| Cause::explicit("the runtime is shutting down"))
    }
}

impl<T, E> PipelineStream<T, E> {
    /// How the run went, once the stream has ended without an error.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary<E>> {
        match &self.end {
            End::Told(summary) => summary.as_ref(),
            _ => None,
        }
    }
}

impl<T, E> Stream for PipelineStream<T, E>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    type Item = Result<T, PipelineError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.chunk.is_empty() {
            if this.waiting {
                this.meter.waited(Spent::Starved);
            } else {
                this.meter.worked();
            }
            this.waiting = true;
            let polled = ready!(this.poll_chunk(cx));
            this.waiting = false;
            if let Some(Err(error)) = polled {
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(this.chunk.pop_front().map(Ok))
    }
}

// Nothing is pinned in it: items are moved in and out.
impl<T, E> Unpin for PipelineStream<T, E> {}

impl<T, E> Drop for PipelineStream<T, E> {
    fn drop(&mut self) {
        self.cell.take_back(self.chunk.len());
        if !matches!(self.end, End::Told(_)) {
            let before = std::mem::replace(&mut *lock(&self.progress), Progress::Dropped);
            if let Progress::Running(token) = before {
                token.cancel(DROPPED);
            }
        }
    }
}

impl<T, E> Debug for PipelineStream<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineStream").finish_non_exhaustive()
    }
}
