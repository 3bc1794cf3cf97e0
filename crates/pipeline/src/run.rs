//! Running a pipeline: its scope, its consumer, and what is said at the end.

use crate::{
    ItemErrorKind, Pipeline, PipelineError, Reason, StatsHandle, Summary,
    panic::caught,
    plan::queue_to,
    queue::{Consumer, Queue, Sweep},
    shared::{Launch, Log, RunShared, Stop, cause_of},
    state::chunk::ChunkSize,
    stats::{RunClock, StageCell},
    trace,
    worker::{Inlet, Meter, SYNC_TARGET, Took},
};
use std::{
    convert::Infallible,
    fmt::{Debug, Display},
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use tidegate_core::{Cause, Cx, Name, Scope, ScopeError, sync::Arc};

/// A run that is about to start, apart from its consumer.
pub(crate) struct Run<T, E> {
    pub(crate) pipeline: Pipeline<T, E>,
    pub(crate) queue: Arc<Queue<T>>,
    books: Books,
}

/// What is needed to sum up a run, whatever became of it.
#[derive(Clone)]
pub(crate) struct Books {
    name: Name,
    handle: StatsHandle,
    clock: Arc<RunClock>,
}

/// How the scope of a run ended, and what its workers left.
pub(crate) struct Ended<E> {
    shared: Option<Arc<RunShared<E>>>,
    queues: Vec<Arc<dyn Sweep>>,
    scope: Result<(), ScopeError<Infallible>>,
    refused: Option<Cause>,
}

/// The consumer's end of a run.
pub(crate) struct SinkPort<T, E> {
    inlet: Inlet<T>,
    cell: Arc<StageCell>,
    chunk: ChunkSize,
    shared: Arc<RunShared<E>>,
    stop: Stop,
    meter: Meter,
}

impl<T, E> Run<T, E>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    /// The run and the right to take its results.
    pub(crate) fn new(pipeline: Pipeline<T, E>) -> (Self, Consumer<T>) {
        let (stage, cell) = &pipeline.sink;
        let queue = queue_to(&pipeline.cells, cell, stage.capacity);
        let consumer = Consumer::new(&queue, 1);
        let books = Books {
            name: pipeline.name.clone(),
            handle: pipeline.stats(),
            clock: Arc::clone(&pipeline.clock),
        };
        (Self { pipeline, queue, books }, consumer)
    }

    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    /// Runs the workers as children of a nested scope, and `consume` as its body.
    pub(crate) async fn drive<X, C, Fut>(self, cx: &Cx<X>, consume: C) -> Ended<E>
    where
        C: FnOnce(Arc<RunShared<E>>) -> Fut,
        Fut: Future<Output = ()>,
    {
        let Self { pipeline, queue, books } = self;
        let Pipeline { name, policy, tail, .. } = pipeline;
        let mut started = None;
        let body = async |cx: Cx<Infallible>| {
            books.clock.start();
            let shared = Arc::new(RunShared::new(policy, cx.token().clone()));
            let mut launch = Launch { cx, shared: Arc::clone(&shared), queues: Vec::new() };
            tail(&queue, &mut launch);
            launch.queues.push(queue as Arc<dyn Sweep>);
            started = Some((Arc::clone(&shared), launch.queues));
            drop(launch.cx);
            consume(shared).await;
            Ok(())
        };
        let scope = Scope::builder(name).parent(cx).run(body).await;
        let refused = started.is_none().then(|| cause_of(cx));
        let (shared, queues) = started.unzip();
        Ended { shared, queues: queues.unwrap_or_default(), scope, refused }
    }
}

impl Books {
    /// Sums up a run whose workers have ended and whose consumer holds nothing any more.
    pub(crate) fn close<E: Display>(
        &self,
        ended: Ended<E>,
    ) -> Result<Summary<E>, PipelineError<E>> {
        let Ended { shared, queues, scope, refused } = ended;
        for queue in &queues {
            queue.sweep();
        }
        self.clock.end();
        let stats = self.handle.snapshot();
        debug_assert!(stats.is_conserved(), "items are unaccounted for:\n{stats}");
        let complete = stats.cancelled() == 0
            && shared.as_ref().is_some_and(|shared| shared.has_source_ended());
        let Log { fatal, errors, mut also } =
            shared.map_or_else(Log::default, |shared| shared.take_log());
        let mut aborted = Vec::new();
        let mut reason = fatal;
        if let Err(error) = scope {
            aborted.extend_from_slice(error.report().aborted());
            let panics = error.report().also().iter().filter_map(panicked);
            match &reason {
                None => reason = why(&error, complete),
                Some(_) => also.extend(panicked(error.reason())),
            }
            also.extend(panics);
        }
        let reason = reason.or(refused.map(Reason::Cancelled));
        let shown = reason.as_ref().map(|reason| reason as &dyn Display);
        // Whoever listens formats the reason, which is the caller's code.
        drop(caught(|| trace::ended(&self.name, &stats, shown)));
        let summary = Summary::new(stats, errors);
        match reason {
            None => Ok(summary),
            Some(reason) => Err(PipelineError::new(reason, summary, also, aborted)),
        }
    }

    /// Sums up a run that never got a scope.
    pub(crate) fn refuse<E: Display>(&self, cause: Cause) -> PipelineError<E> {
        self.clock.end();
        let summary = Summary::new(self.handle.snapshot(), Vec::new());
        PipelineError::new(Reason::Cancelled(cause), summary, Vec::new(), Vec::new())
    }
}

/// Why the scope of a run ended without its value.
fn why<E>(error: &ScopeError<Infallible>, complete: bool) -> Option<Reason<E>> {
    match error.reason() {
        // Cancelled after the last item: everything has been done.
        tidegate_core::Reason::Cancelled(_) if complete => None,
        tidegate_core::Reason::Cancelled(cause) => Some(Reason::Cancelled(cause.clone())),
        other => Some(panicked(other).unwrap_or(Reason::Aborted)),
    }
}

/// The panic of a worker.
fn panicked<E>(reason: &tidegate_core::Reason<Infallible>) -> Option<Reason<E>> {
    let tidegate_core::Reason::Panicked(panic) = reason else { return None };
    let stage = panic.task().name().clone();
    Some(Reason::Panicked { stage, message: panic.message().to_owned() })
}

impl<T, E> SinkPort<T, E>
where
    E: Display + Debug + Send + Sync + 'static,
{
    pub(crate) fn new(
        consumer: Consumer<T>,
        sink: &(crate::Stage, Arc<StageCell>),
        shared: Arc<RunShared<E>>,
    ) -> Self {
        let (stage, cell) = sink;
        Self {
            inlet: Inlet::new(consumer, cell),
            cell: Arc::clone(cell),
            chunk: ChunkSize::new(stage.batch, SYNC_TARGET),
            stop: Stop::new(shared.token()),
            meter: Meter::new(cell),
            shared,
        }
    }

    async fn take(&mut self) -> bool {
        self.inlet.take(self.chunk.get(), &mut self.stop, &mut self.meter).await == Took::Items
    }

    async fn done(&mut self, items: usize) {
        self.chunk.observe(items, self.meter.worked());
        self.meter.breathe().await;
    }

    /// Gives the items to `consume` one by one.
    pub(crate) async fn each<F, Fut>(mut self, mut consume: F)
    where
        F: FnMut(T) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        while self.take().await {
            let items = self.inlet.work.len();
            while let Some(item) = self.inlet.work.take() {
                let mut hand = InHand(Some(&self.cell));
                let kind = match consume_one(&mut self.stop, &mut consume, item).await {
                    None => return,
                    Some(Ok(Ok(()))) => {
                        hand.0 = None;
                        self.cell.add_left(1);
                        continue;
                    }
                    Some(Ok(Err(error))) => ItemErrorKind::Failed(error),
                    Some(Err(message)) => ItemErrorKind::Panicked(message),
                };
                hand.0 = None;
                self.shared.sink_failed(&self.cell, self.inlet.work.last_seq(), kind);
                return;
            }
            self.done(items).await;
        }
    }

    /// Gives the items to `consume` in chunks.
    pub(crate) async fn each_chunk<F>(mut self, mut consume: F)
    where
        F: FnMut(&mut Vec<T>) -> Result<(), E>,
    {
        while self.take().await {
            let first = self.inlet.work.next_seq();
            let items = self.inlet.work.len();
            let mut chunk = self.inlet.work.take_all();
            let result = caught(|| consume(&mut chunk));
            let left = chunk.len().min(items - 1);
            let dropped = caught(|| chunk.clear());
            let kind = match result {
                Ok(Ok(())) if dropped.is_ok() => {
                    self.inlet.work.recycle(chunk);
                    self.cell.add_left(items);
                    self.done(items).await;
                    continue;
                }
                Ok(Err(error)) => ItemErrorKind::Failed(error),
                Err(message) => ItemErrorKind::Panicked(message),
                Ok(Ok(())) => ItemErrorKind::Panicked(dropped.err().unwrap_or_default()),
            };
            let done = items - 1 - left;
            self.cell.add_left(done);
            self.cell.add_cancelled(left);
            self.shared.sink_failed(&self.cell, first + done as u64, kind);
            return;
        }
    }
}

/// The item that the consumer works on; counted as cancelled if it is dropped meanwhile.
struct InHand<'a>(Option<&'a StageCell>);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let Some(cell) = self.0 {
            cell.add_cancelled(1);
        }
    }
}

/// Runs the consumer on one item; `None` if the run was stopped meanwhile.
async fn consume_one<T, E, F, Fut>(
    stop: &mut Stop,
    consume: &mut F,
    item: T,
) -> Option<Result<Result<(), E>, String>>
where
    F: FnMut(T) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let future = match caught(|| consume(item)) {
        Ok(future) => future,
        Err(message) => return Some(Err(message)),
    };
    let mut future = pin!(Some(future));
    // What the consumer has done counts, even if the run is stopped in the same moment.
    let ended = poll_fn(|cx| {
        let polled = caught(|| future.as_mut().as_pin_mut().map(|future| future.poll(cx)));
        match polled {
            Ok(Some(Poll::Ready(result))) => Poll::Ready(Some(Ok(result))),
            Ok(_) => stop.poll(cx).map(|()| None),
            Err(message) => Poll::Ready(Some(Err(message))),
        }
    })
    .await;
    // The destructor of the future is the consumer's, too.
    match (ended, caught(|| future.set(None))) {
        (None | Some(Ok(Ok(()))), Err(message)) => Some(Err(message)),
        (ended, _) => ended,
    }
}
