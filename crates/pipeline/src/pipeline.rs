//! Building a pipeline: a source, and stages one after the other.

use crate::{
    ItemError, OnError, Stage, StageKind, StatsHandle,
    plan::{Port, one_slot_each, sink, spread},
    queue::{Producer, Queue},
    shared::{Launch, Policy},
    stage::CHUNK,
    state::chunk::ChunkSize,
    stats::{RunClock, StageCell},
    worker::{
        BLOCKING_TARGET, Inlet, Outbox, SYNC_TARGET,
        map::{MapWorker, Plain},
        map_async::AsyncWorker,
        map_blocking::{BlockingWorker, Job, Stateful},
        source::SourceWorker,
    },
};
use futures_core::Stream;
use std::{
    fmt::{self, Debug, Display},
    future::Future,
    task::{Context, Poll},
};
use tidegate_core::{Name, sync::Arc};

/// Starts all workers up to the end of the plan, which push into the given queue.
pub(crate) type Tail<T, E> = Box<dyn FnOnce(&Arc<Queue<T>>, &mut Launch<E>) + Send>;

/// A source and stages, not running yet. `T` is what comes out of the last stage, `E` the
/// error of an item.
///
/// See the [crate's page](crate) for the laws every pipeline keeps.
#[must_use = "a pipeline does nothing until it is run"]
pub struct Pipeline<T, E> {
    pub(crate) name: Name,
    pub(crate) policy: Policy<E>,
    pub(crate) cells: Vec<Arc<StageCell>>,
    pub(crate) sink: (Stage, Arc<StageCell>),
    pub(crate) clock: Arc<RunClock>,
    pub(crate) tail: Tail<T, E>,
}

impl<T, E> Pipeline<T, E>
where
    T: Send + 'static,
    E: Display + Debug + Send + Sync + 'static,
{
    /// Starts with the items of a stream. Items that are ready together travel together; an
    /// item never waits for the next one.
    pub fn from_stream<S>(name: impl Into<Name>, stream: S) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
    {
        let mut stream = Box::pin(stream);
        Self::from_source(name.into(), move |cx| {
            stream.as_mut().poll_next(cx).map(|item| item.map(Ok))
        })
    }

    /// Starts with the items of a stream in which an item can be an error: that counts as a
    /// failed item of the source, and the stream is polled for the next one, unless the
    /// [policy](Self::on_error) is to fail fast. Under [`OnError::Collect`], a stream that gives
    /// up after an error ends the run well, and one that repeats it for ever never ends: say
    /// which of its errors are [fatal](Self::fatal_if).
    pub fn from_try_stream<S>(name: impl Into<Name>, stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
    {
        let mut stream = Box::pin(stream);
        Self::from_source(name.into(), move |cx| stream.as_mut().poll_next(cx))
    }

    /// Starts with the items of an iterator.
    ///
    /// It runs on the workers of the runtime and lets other tasks run between chunks of its
    /// items, which take some 50 us. One that blocks in `next` belongs on a thread of its own,
    /// behind a channel: tasks it has woken may have to wait for it.
    pub fn from_iter<I>(name: impl Into<Name>, items: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        let mut items = items.into_iter();
        Self::from_source(name.into(), move |_| Poll::Ready(items.next().map(Ok)))
    }

    fn from_source<N>(name: Name, next: N) -> Self
    where
        N: FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>> + Send + 'static,
    {
        let cell = Arc::new(StageCell::new(name, StageKind::Source, 1, 0));
        let source = Arc::clone(&cell);
        let tail: Tail<T, E> = Box::new(move |out, launch| {
            let worker = SourceWorker {
                outbox: Outbox::new(Producer::new(out), false, &source),
                chunk: ChunkSize::new(out.capacity().min(CHUNK), SYNC_TARGET),
                cell: Arc::clone(&source),
                shared: Arc::clone(&launch.shared),
            };
            launch.spawn(source.name(), worker.run(next));
        });
        Self {
            name: "pipeline".into(),
            policy: Policy::default(),
            cells: vec![cell],
            sink: sink("sink".into()),
            clock: Arc::default(),
            tail,
        }
    }

    /// Names the scope that the run opens; the default is `pipeline`.
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// What an item that fails does to the run. By default it cancels the run, which returns
    /// its error. Under [`OnError::Collect`] it is dropped and the run goes on; the
    /// [`Summary`](crate::Summary) has the first `max` errors, which may be none, and the number
    /// of all.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.policy.on_error = on_error;
        self
    }

    /// Calls `callback` with each item that fails, when it does, from the worker that ran it:
    /// a thread of the runtime, or for a blocking stage one of its blocking threads. If it
    /// panics, the run ends.
    pub fn on_item_error(
        mut self,
        callback: impl Fn(&ItemError<E>) + Send + Sync + 'static,
    ) -> Self {
        self.policy.callback = Some(Arc::new(callback));
        self
    }

    /// Which errors end the run under [`OnError::Collect`] all the same, as that of a source
    /// that cannot go on, or of a disk that is full. It is asked by the worker that has the
    /// error; if it panics, the run ends.
    ///
    /// ```
    /// use tidegate_pipeline::{OnError, Pipeline};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # tidegate_core::scope("app", async |cx| {
    /// let error = Pipeline::from_iter("numbers", 0..)
    ///     .map("check", |n| if n % 2 == 1 { Err(format!("{n} is odd")) } else { Ok(n) })
    ///     .on_error(OnError::Collect { max: 100 })
    ///     .fatal_if(|error| error.starts_with("7 "))
    ///     .run(&cx)
    ///     .await
    ///     .unwrap_err();
    /// assert_eq!(error.error().unwrap(), "7 is odd");
    /// assert_eq!(error.summary().errors().len(), 3);
    /// # Ok::<_, std::convert::Infallible>(())
    /// # }).await.unwrap();
    /// # }
    /// ```
    pub fn fatal_if(mut self, is_fatal: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.policy.fatal = Some(Arc::new(is_fatal));
        self
    }

    /// The consumer's name, default `sink`, and the capacity and batch of its queue. Its
    /// concurrency is always 1.
    pub fn sink(mut self, stage: impl Into<Stage>) -> Self {
        self.sink = sink(stage.into());
        self
    }

    /// A handle to the numbers of the pipeline while it runs. Take it last: stages that are
    /// added later, or another [`sink`](Self::sink), are not in it.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        let mut cells = self.cells.clone();
        cells.push(Arc::clone(&self.sink.1));
        StatsHandle::new(cells, Arc::clone(&self.clock))
    }

    /// A cheap synchronous function. It runs on the workers of the runtime: tens of
    /// microseconds per item at most, and no blocking.
    pub fn map<O, F>(self, stage: impl Into<Stage>, function: F) -> Pipeline<O, E>
    where
        O: Send + 'static,
        F: Fn(T) -> Result<O, E> + Send + Sync + 'static,
    {
        self.filter_map(stage, move |item| function(item).map(Some))
    }

    /// Like [`map`](Self::map); an item for which the function returns `None` is left out
    /// and counted as filtered.
    pub fn filter_map<O, F>(self, stage: impl Into<Stage>, function: F) -> Pipeline<O, E>
    where
        O: Send + 'static,
        F: Fn(T) -> Result<Option<O>, E> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        self.add(stage, StageKind::Map, SYNC_TARGET, one_slot_each, move |port, launch| {
            let Port { consumer, outbox, chunk, cell, .. } = port;
            let inlet = Inlet::new(consumer, &cell);
            let shared = Arc::clone(&launch.shared);
            let step = Plain(Arc::clone(&function));
            let worker = MapWorker { inlet, outbox, step, chunk, cell: Arc::clone(&cell), shared };
            launch.spawn(cell.name(), worker.run());
        })
    }

    /// Leaves out the items for which `keep` says no.
    pub fn filter<F>(self, stage: impl Into<Stage>, keep: F) -> Self
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.filter_map(stage, move |item| Ok(keep(&item).then_some(item)))
    }

    /// Looks at each item.
    pub fn inspect<F>(self, stage: impl Into<Stage>, look: F) -> Self
    where
        F: Fn(&T) + Send + Sync + 'static,
    {
        self.map(stage, move |item| {
            look(&item);
            Ok(item)
        })
    }

    /// An asynchronous function, for up to [`concurrency`](Stage::concurrency) items at once,
    /// spread over the threads of the runtime. Every future in flight is polled whenever it
    /// is woken, whatever the other stages or the consumer do.
    ///
    /// When the run is cancelled, futures are dropped where they await.
    pub fn map_async<O, F, Fut>(self, stage: impl Into<Stage>, function: F) -> Pipeline<O, E>
    where
        O: Send + 'static,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        self.filter_map_async(stage, move |item| {
            let future = function(item);
            async move { future.await.map(Some) }
        })
    }

    /// Like [`map_async`](Self::map_async); an item whose future returns `None` is left out
    /// and counted as filtered.
    pub fn filter_map_async<O, F, Fut>(self, stage: impl Into<Stage>, function: F) -> Pipeline<O, E>
    where
        O: Send + 'static,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<O>, E>> + Send + 'static,
    {
        let function = Arc::new(function);
        self.add(stage, StageKind::MapAsync, SYNC_TARGET, spread, move |port, launch| {
            let Port { consumer, outbox, cell, slots, .. } = port;
            let function = Arc::clone(&function);
            let shared = Arc::clone(&launch.shared);
            let worker = AsyncWorker::new(consumer, outbox, function, slots, &cell, shared);
            launch.spawn(cell.name(), worker.run());
        })
    }

    /// A function that blocks or computes, on the blocking threads of the runtime, with state
    /// of its worker: `init` makes it, on the blocking thread, before the first item and
    /// after a panic. No thread is held while a worker waits, so any number of blocking
    /// stages can share one.
    ///
    /// When the run is cancelled, an item that has begun is finished first.
    pub fn map_blocking<S, O, Init, F>(
        self,
        stage: impl Into<Stage>,
        init: Init,
        function: F,
    ) -> Pipeline<O, E>
    where
        S: Send + 'static,
        O: Send + 'static,
        Init: Fn() -> S + Send + Sync + 'static,
        F: Fn(&mut S, T) -> Result<O, E> + Send + Sync + 'static,
    {
        self.filter_map_blocking(stage, init, move |state, item| function(state, item).map(Some))
    }

    /// Like [`map_blocking`](Self::map_blocking); an item for which the function returns
    /// `None` is left out and counted as filtered.
    pub fn filter_map_blocking<S, O, Init, F>(
        self,
        stage: impl Into<Stage>,
        init: Init,
        function: F,
    ) -> Pipeline<O, E>
    where
        S: Send + 'static,
        O: Send + 'static,
        Init: Fn() -> S + Send + Sync + 'static,
        F: Fn(&mut S, T) -> Result<Option<O>, E> + Send + Sync + 'static,
    {
        let (init, function) = (Arc::new(init), Arc::new(function));
        let kind = StageKind::MapBlocking;
        self.add(stage, kind, BLOCKING_TARGET, one_slot_each, move |port, launch| {
            let Port { consumer, outbox, chunk, cell, .. } = port;
            let inlet = Inlet::new(consumer, &cell);
            let step =
                Stateful { init: Arc::clone(&init), function: Arc::clone(&function), state: None };
            let name = cell.name().clone();
            let shared = Arc::clone(&launch.shared);
            let job = Box::new(Job { inlet, outbox, step, chunk, cell, shared });
            let worker = BlockingWorker { job, cx: launch.cx.clone() };
            launch.spawn(&name, worker.run());
        })
    }
}

impl<T, E> Debug for Pipeline<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.cells.iter().map(|cell| cell.name());
        f.debug_struct("Pipeline")
            .field("name", &self.name)
            .field("on_error", &self.policy.on_error)
            .field("stages", &stages.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
