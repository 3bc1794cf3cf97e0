//! Walking on threads of the stream's own, delivering batches to an asynchronous reader.

use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use futures_core::Stream;
use tidegate_core::sync::{Arc, Mutex, atomic::AtomicUsize};

use crate::entry::{Entry, EntryRef};
use crate::error::WalkError;
use crate::job::Job;
use crate::run::{CancelHook, Run, Stop};
use crate::sorted::{self, Ahead};
use crate::state::{crew::Crew, lock, outbox::Outbox, queue::WorkQueue};
use crate::summary::Summary;
use crate::visit::{Flow, builder, next_index};
use crate::walk::Order;
use crate::worker::{self, Hire, Sink};

type Item = Result<Entry, WalkError>;

/// A thread's first batch is small, so that the first entries arrive at once; each next one is
/// twice as large, up to this.
const BATCH_MAX: usize = 256;
const BATCH_FIRST: usize = 16;

/// What the threads of a stream and its reader share.
struct Shared {
    run: Run,
    work: Work,
    outbox: Outbox<Vec<Item>>,
    started: AtomicUsize,
    crew: Crew,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

enum Work {
    Unordered(WorkQueue<Job>),
    Ordered(Ahead),
}

impl Stop for Shared {
    fn run(&self) -> &Run {
        &self.run
    }

    fn wake_all(&self) {
        self.wake_workers();
        drop(self.outbox.stop());
    }
}

impl Shared {
    fn new(run: Run) -> Self {
        let config = &run.config;
        let work = match config.order {
            Order::Any => {
                let roots = (0..config.roots.len()).rev().map(Job::Root).collect();
                Work::Unordered(WorkQueue::new(roots))
            }
            Order::Sorted => Work::Ordered(Ahead::new(config.window)),
        };
        // Enough for each thread to fill the next batch while the reader is at the last.
        let outbox = Outbox::new(config.threads.saturating_mul(2).clamp(2, 32));
        let (crew, handles) = (Crew::new(), Mutex::new(Vec::new()));
        Self { run, work, outbox, started: AtomicUsize::new(0), crew, handles }
    }

    fn wake_workers(&self) {
        match &self.work {
            Work::Unordered(queue) => drop(queue.stop()),
            Work::Ordered(ahead) => ahead.stop(),
        }
    }

    /// Starts the thread of this index; it is joined by whoever ends the stream.
    fn start(self: &Arc<Self>, index: usize) -> std::io::Result<()> {
        self.crew.enter();
        let shared = Arc::clone(self);
        match builder(index).spawn(move || shared.work(index)) {
            Ok(handle) => {
                lock(&self.handles).push(handle);
                Ok(())
            }
            Err(error) => {
                self.crew.leave();
                Err(error)
            }
        }
    }

    /// What one thread does.
    fn work(self: Arc<Self>, index: usize) {
        let run = &self.run;
        run.guard(|| match &self.work {
            Work::Unordered(queue) => {
                worker::work(run, queue, &mut Batcher::new(&self), &Team(&self));
            }
            Work::Ordered(ahead) if index == 0 => {
                sorted::emit(run, ahead, &mut Batcher::new(&self), &Team(&self));
            }
            Work::Ordered(ahead) => sorted::read_ahead(run, ahead),
        });
        match &self.work {
            Work::Unordered(queue) => {
                if run.stopped() {
                    drop(queue.stop());
                }
                queue.unregister();
            }
            Work::Ordered(ahead) if index == 0 || run.stopped() => ahead.stop(),
            Work::Ordered(_) => {}
        }
        if self.crew.leave() {
            self.outbox.finish();
        }
    }

    /// Waits for threads that are at their end, or about to be.
    fn join(&self) {
        loop {
            // A thread may start another until it sees the stop: ask again after each.
            let Some(handle) = lock(&self.handles).pop() else { return };
            // A stream dropped by its own filter cannot wait for the thread it runs on.
            if handle.thread().id() != std::thread::current().id() {
                // Its panic, if any, was caught and kept.
                drop(handle.join());
            }
        }
    }

    fn stop_and_wake(&self) {
        self.run.stop();
        self.wake_all();
    }
}

/// Starts threads of the stream.
struct Team<'a>(&'a Arc<Shared>);

impl Hire for Team<'_> {
    fn hire(&self) {
        let shared = self.0;
        let Some(index) = next_index(&shared.started, shared.run.config.threads) else { return };
        if let Work::Unordered(queue) = &shared.work {
            if !queue.register() {
                return;
            }
        }
        if shared.start(index).is_err() {
            // It goes on with the threads there are.
            if let Work::Unordered(queue) = &shared.work {
                queue.unregister();
            }
        }
    }
}

/// Gathers what one thread finds, across directories.
struct Batcher<'a> {
    shared: &'a Shared,
    batch: Vec<Item>,
    limit: usize,
}

impl<'a> Batcher<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, batch: Vec::new(), limit: BATCH_FIRST }
    }

    #[inline]
    fn push(&mut self, item: Item) -> Flow {
        self.batch.push(item);
        if self.batch.len() < self.limit { Flow::Continue } else { self.send() }
    }

    fn send(&mut self) -> Flow {
        if self.batch.is_empty() {
            return Flow::Continue;
        }
        self.limit = (self.limit * 2).min(BATCH_MAX);
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(self.limit));
        match self.shared.outbox.push(batch) {
            Ok(()) => Flow::Continue,
            Err(_unwanted) => Flow::Quit,
        }
    }
}

impl Sink for Batcher<'_> {
    #[inline]
    fn entry(&mut self, entry: EntryRef<'_>) -> Flow {
        self.push(Ok(entry.to_owned()))
    }

    fn error(&mut self, error: WalkError) -> Flow {
        self.push(Err(error))
    }

    #[inline]
    fn holds_back(&self) -> bool {
        !self.batch.is_empty()
    }

    fn flush(&mut self) -> Flow {
        self.send()
    }
}

impl Drop for Batcher<'_> {
    /// What was found before a stop or a panic is delivered, if anyone still wants it.
    fn drop(&mut self) {
        self.send();
    }
}

/// The entries of a [`Walk`](crate::Walk), as a [`Stream`].
///
/// Threads of its own walk and hand over batches of at most 256 entries through a bounded queue:
/// no task, no runtime and no pool of one is involved, so it works on any executor. They are
/// started by the first poll. A reader that stops polling stops the walk: each thread parks with
/// one batch in hand, and the queue holds two batches per thread, at least 2 and at most 32.
///
/// When the walk is cancelled, what is queued is dropped, and the last item is an error of kind
/// [`Cancelled`](crate::WalkErrorKind::Cancelled) with the cause, once every thread has ended. A
/// panic of the filter comes up in the poll or in [`close`](Self::close), whatever else ended the
/// walk; a stream that is dropped instead reports it as an event.
///
/// Dropping the stream stops the walk and waits for its threads; each is at most one system call
/// or one call of the filter away from its end. [`close`](Self::close) does
/// the same without blocking.
///
/// ```
/// use futures::TryStreamExt;
/// use tidegate_fs_walk::{Order, Walk};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let mut stream = Walk::new("src").order(Order::Sorted).stream();
/// while let Some(entry) = stream.try_next().await? {
///     if entry.file_type().is_file() {
///         println!("{} bytes: {}", entry.open()?.len(), entry.path().display());
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct WalkStream {
    batches: Batches,
    batch: std::vec::IntoIter<Item>,
}

/// The entries of a [`Walk`](crate::Walk) in the batches in which they travel; made by
/// [`WalkStream::batches`].
#[must_use = "a stream does nothing until it is polled"]
pub struct Batches {
    shared: Arc<Shared>,
    hook: Option<CancelHook>,
    state: State,
    /// What a [`WalkStream`] had left of its last batch: the first one here.
    left: Vec<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Walking,
    Ended,
}

impl WalkStream {
    pub(crate) fn new(run: Run) -> Self {
        let shared = Arc::new(Shared::new(run));
        let batches = Batches { shared, hook: None, state: State::New, left: Vec::new() };
        Self { batches, batch: Vec::new().into_iter() }
    }

    /// The rest of the entries in batches, which costs less per entry.
    pub fn batches(mut self) -> Batches {
        self.batches.left = self.batch.collect();
        self.batches
    }

    /// What has been found so far. Threads add to it every few directories.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.batches.summary()
    }

    /// Stops the walk and waits until none of its threads is left.
    ///
    /// # Panics
    ///
    /// If the filter panicked, its panic goes on here.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has stopped the walk, and the drop waits for the threads.
    /// Tested by `a_close_that_is_dropped_has_stopped_the_walk_and_waits_for_its_threads`.
    pub async fn close(self) {
        self.batches.close().await;
    }
}

impl Batches {
    /// See [`WalkStream::summary`].
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.shared.run.summary()
    }

    /// See [`WalkStream::close`].
    ///
    /// # Panics
    ///
    /// As [`WalkStream::close`].
    ///
    /// # Cancel safety
    ///
    /// As [`WalkStream::close`]. Tested by
    /// `a_close_that_is_dropped_has_stopped_the_walk_and_waits_for_its_threads`.
    pub async fn close(mut self) {
        self.hook = None;
        self.shared.stop_and_wake();
        std::future::poll_fn(|cx| self.shared.crew.poll_gone(cx)).await;
        self.end();
    }

    fn start(&mut self) -> Result<(), WalkError> {
        self.state = State::Walking;
        self.hook = Some(CancelHook::new(&self.shared));
        let shared = &self.shared;
        let Some(index) = next_index(&shared.started, shared.run.config.threads) else {
            return Ok(());
        };
        if let Work::Unordered(queue) = &shared.work {
            if !queue.register() {
                // Cancelled before it began.
                shared.outbox.finish();
                return Ok(());
            }
        }
        shared.start(index).map_err(|error| {
            shared.outbox.finish();
            shared.run.spawn_failure(error)
        })
    }

    /// Once no thread goes on: a panic of one of them goes on here.
    fn end(&mut self) {
        if self.settle() == State::Ended {
            return;
        }
        if let Some(payload) = self.shared.run.take_panic() {
            resume_unwind(payload);
        }
    }

    /// Joins the threads and says so; returns what the state was.
    fn settle(&mut self) -> State {
        self.hook = None;
        self.shared.join();
        let before = std::mem::replace(&mut self.state, State::Ended);
        if before == State::Walking {
            self.shared.run.log_end();
        }
        before
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<Item>>> {
        match self.state {
            State::New => {
                if let Err(error) = self.start() {
                    self.end();
                    return Poll::Ready(Some(vec![Err(error)]));
                }
            }
            State::Walking => {}
            State::Ended => return Poll::Ready(None),
        }
        if !self.shared.run.is_cancelled() {
            if !self.left.is_empty() {
                return Poll::Ready(Some(std::mem::take(&mut self.left)));
            }
            if let Some(batch) = ready!(self.shared.outbox.poll_pop(cx)) {
                return Poll::Ready(Some(batch));
            }
        }
        // All of them are at their end or told to come to it, and one may have panicked.
        ready!(self.shared.crew.poll_gone(cx));
        self.end();
        Poll::Ready(self.shared.run.cancellation().map(|error| vec![Err(error)]))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // The hook first: a cancellation from now on is nobody's business.
        self.hook = None;
        self.shared.stop_and_wake();
        self.settle();
        self.shared.run.log_unheard_panic();
    }
}

impl Stream for Batches {
    type Item = Vec<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_batch(cx)
    }
}

impl Stream for WalkStream {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.batches.state != State::Ended && this.batches.shared.run.is_cancelled() {
                // An entry that is delivered after the cancellation makes the walk look alive.
                this.batch = Vec::new().into_iter();
            }
            if let Some(item) = this.batch.next() {
                return Poll::Ready(Some(item));
            }
            match ready!(this.batches.poll_batch(cx)) {
                Some(batch) => this.batch = batch.into_iter(),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for WalkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalkStream").field("state", &self.batches.state).finish_non_exhaustive()
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("state", &self.state).finish_non_exhaustive()
    }
}
