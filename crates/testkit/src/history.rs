//! What concurrent clients asked of an object, and what it answered, on one order of time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A recording of operations, each with its invocation and its return on one total order.
///
/// Threads and tasks record through a [`Client`] each; [`check_linearizable`] then says whether
/// some sequential order explains every return.
///
/// An operation that never returned stays *open*: its future was dropped, it panicked, or it still
/// runs. It may have taken effect at any time after its invocation, or not at all.
///
/// ```
/// use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
/// use tidegate_testkit::History;
/// use tidegate_testkit::models::CounterOp;
///
/// let (counter, history) = (AtomicI64::new(0), History::new());
/// std::thread::scope(|scope| {
///     for id in 0..2 {
///         let (counter, client) = (&counter, history.client(id));
///         scope.spawn(move || {
///             client.call_sync(CounterOp::Add(1), || counter.fetch_add(1, Relaxed));
///         });
///     }
/// });
/// assert_eq!(history.operations().len(), 2);
/// ```
///
/// # Why the order is sound
///
/// One counter stamps an operation before it starts and after it has returned, so what is recorded
/// contains what really happened: it may let two operations overlap that did not (a violation is
/// missed then), and never puts apart two that did. If the return of one is stamped before the
/// invocation of another, the first also *happens before* the second in the sense of the memory
/// model, since both are `SeqCst` read-modify-writes of one atomic: the second must see the first.
///
/// That edge is the price: a recorded object is a little more ordered than one that is not, so a
/// memory ordering that is too weak is the business of a model checker.
///
/// # Cost
///
/// Two increments of a shared counter and two locks that nobody else wants, and the memory of the
/// operation; the history is as long as the test makes it.
///
/// [`check_linearizable`]: crate::check_linearizable
#[derive(Debug)]
pub struct History<O, R> {
    clock: Arc<AtomicU64>,
    logs: Mutex<BTreeMap<usize, Arc<Log<O, R>>>>,
}

#[derive(Debug)]
struct Log<O, R> {
    client: usize,
    clock: Arc<AtomicU64>,
    operations: Mutex<Vec<Operation<O, R>>>,
}

impl<O, R> Log<O, R> {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }
}

/// One operation of a [`History`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<O, R> {
    client: usize,
    op: O,
    invoked: u64,
    returned: Option<(u64, R)>,
}

impl<O, R> Operation<O, R> {
    /// Who asked for it.
    #[must_use]
    pub fn client(&self) -> usize {
        self.client
    }

    /// What was asked for.
    #[must_use]
    pub fn op(&self) -> &O {
        &self.op
    }

    /// What was answered; none, if it is open.
    #[must_use]
    pub fn ret(&self) -> Option<&R> {
        self.returned.as_ref().map(|(_, ret)| ret)
    }

    /// Its place on the order of all invocations and returns.
    #[must_use]
    pub fn invoked_at(&self) -> u64 {
        self.invoked
    }

    /// The place of its return on that order; none, if it is open.
    #[must_use]
    pub fn returned_at(&self) -> Option<u64> {
        self.returned.as_ref().map(|(at, _)| *at)
    }

    /// Whether it returned before the other was invoked.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.returned_at().is_some_and(|at| at < other.invoked)
    }
}

impl<O, R> Default for History<O, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O, R> History<O, R> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::default(), logs: Mutex::default() }
    }

    /// The recorder of one client. A client is a line of the timeline, no more: nothing is
    /// concluded from its number.
    #[must_use]
    pub fn client(&self, id: usize) -> Client<O, R> {
        let log =
            || Log { client: id, clock: Arc::clone(&self.clock), operations: Mutex::default() };
        let log = Arc::clone(lock(&self.logs).entry(id).or_insert_with(|| Arc::new(log())));
        Client { log }
    }

    /// What has been recorded so far, in the order of the invocations.
    ///
    /// It may be called while clients go on: what an operation has seen by now is in it, too.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation<O, R>>
    where
        O: Clone,
        R: Clone,
    {
        let logs = lock(&self.logs);
        // All at once: an effect must not be seen in one log and its cause missed in another.
        let logs: Vec<_> = logs.values().map(|log| lock(&log.operations)).collect();
        let mut all: Vec<_> = logs.iter().flat_map(|log| log.iter().cloned()).collect();
        all.sort_unstable_by_key(Operation::invoked_at);
        all
    }
}

/// Records the operations of one client of a [`History`].
#[derive(Debug)]
pub struct Client<O, R> {
    log: Arc<Log<O, R>>,
}

impl<O, R> Clone for Client<O, R> {
    fn clone(&self) -> Self {
        Self { log: Arc::clone(&self.log) }
    }
}

impl<O, R> Client<O, R> {
    /// Records an operation from its start to its return.
    ///
    /// It takes a closure rather than a future: a function that returns a future may act before
    /// the first poll, and that must not come before the invocation.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its first poll, it has not started, and nothing is recorded. Dropped later,
    /// the operation stays open. Tested by `what_is_dropped_stays_open_if_it_has_started`.
    ///
    /// ```
    /// use tidegate_testkit::{History, bubble};
    /// use tokio::time::{Duration, sleep, timeout};
    ///
    /// # #[cfg(not(miri))]
    /// bubble(async {
    ///     let history = History::new();
    ///     let client = history.client(0);
    ///     let slow = client.call("slow", async || sleep(Duration::from_secs(2)).await);
    ///     timeout(Duration::from_secs(1), slow).await.unwrap_err();
    ///     assert!(history.operations()[0].ret().is_none(), "it is open");
    /// });
    /// ```
    pub async fn call(&self, op: O, run: impl AsyncFnOnce() -> R) -> R
    where
        R: Clone,
    {
        let call = self.begin(op);
        let ret = run().await;
        call.end(ret.clone());
        ret
    }

    /// Records an operation of a thread. It stays open if `run` panics.
    pub fn call_sync(&self, op: O, run: impl FnOnce() -> R) -> R
    where
        R: Clone,
    {
        let call = self.begin(op);
        let ret = run();
        call.end(ret.clone());
        ret
    }

    /// Records an invocation: for an operation whose result is not its return, such as a permit,
    /// and for histories that are written by hand.
    pub fn begin(&self, op: O) -> Call<O, R> {
        let mut operations = lock(&self.log.operations);
        let index = operations.len();
        let invoked = self.log.now();
        operations.push(Operation { client: self.log.client, op, invoked, returned: None });
        drop(operations);
        Call { log: Arc::clone(&self.log), index }
    }
}

/// An operation that has been invoked. Dropped without [`end`](Self::end), it stays open.
#[derive(Debug)]
#[must_use = "an operation stays open until its return is recorded"]
pub struct Call<O, R> {
    log: Arc<Log<O, R>>,
    index: usize,
}

impl<O, R> Call<O, R> {
    /// Records the return.
    pub fn end(self, ret: R) {
        // Before the lock, which may take its time.
        let at = self.log.now();
        if let Some(operation) = lock(&self.log.operations).get_mut(self.index) {
            operation.returned = Some((at, ret));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
