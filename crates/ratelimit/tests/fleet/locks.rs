//! Foreign code that asks the limiter which runs it: under a lock it would never come back.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Duration,
};
use tidegate_ratelimit::{
    Clock, Quota, Rate, TokioClock,
    fleet::{
        Answer, Ask, Fallback, FleetLimiter, FleetTryAcquireError, MemoryStore, Store, StoreError,
        StoreQuota,
    },
};
use tokio::time::sleep;

type Deed = Box<dyn Fn() + Send + Sync>;

/// What foreign code does wherever it runs, and how often.
#[derive(Clone, Default)]
struct Asks(Arc<(OnceLock<Deed>, AtomicBool, AtomicU64)>);

impl Asks {
    fn by<S: Store, C: Clock>(&self, limiter: &FleetLimiter<S, C>) {
        let limiter = limiter.clone();
        let asks = move || {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = pin!(limiter.try_acquire("a", 1)).poll(&mut cx);
            let _ = limiter.stats();
        };
        assert!(self.0.0.set(Box::new(asks)).is_ok());
    }

    fn ask(&self) {
        let (asks, is_asking, count) = &*self.0;
        let Some(asks) = asks.get() else { return };
        // Not within itself.
        if !is_asking.swap(true, SeqCst) {
            asks();
            count.fetch_add(1, SeqCst);
            is_asking.store(false, SeqCst);
        }
    }

    fn count(&self) -> u64 {
        self.0.2.load(SeqCst)
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asks")
    }
}

/// An error that asks when it is dropped.
#[derive(Debug)]
struct Asking(Asks);

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as it was told")
    }
}

impl Error for Asking {}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// A store that answers what it is told next, if anything.
#[derive(Debug)]
struct Told {
    store: MemoryStore,
    next: Mutex<Vec<StoreError>>,
}

impl Store for Told {
    async fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> Result<Answer, StoreError> {
        let next = self.next.lock().unwrap().pop();
        match next {
            Some(error) => Err(error),
            None => self.store.exchange(key, quota, ask).await,
        }
    }
}

#[tidegate_testkit::test]
async fn errors_of_a_store_are_dropped_without_a_lock() {
    let asks = Asks::default();
    let error = || StoreError::Unreachable(Arc::new(Asking(asks.clone())));
    let next = Mutex::new(vec![error(), error(), error()]);
    let store = Told { store: MemoryStore::new(10), next };
    let limiter = FleetLimiter::builder(store, Quota::new(Rate::per_second(100), 10))
        .fallback(Fallback::Closed)
        .build()
        .unwrap();
    asks.by(&limiter);
    // Each failed probe takes the place of the one before; the answer, that of the last one.
    while limiter.stats().admitted == 0 {
        let denied = limiter.try_acquire("a", 1).await;
        assert!(matches!(denied, Ok(_) | Err(FleetTryAcquireError::Unavailable { .. })));
        drop(denied);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((asks.count(), limiter.stats().errors), (3, 3));
}

/// A clock that asks when it is asked.
#[derive(Debug)]
struct AskedBack(TokioClock, Asks);

impl Clock for AskedBack {
    type Timer = <TokioClock as Clock>::Timer;

    fn now(&self) -> u64 {
        self.1.ask();
        self.0.now()
    }

    fn timer(&self) -> Self::Timer {
        self.0.timer()
    }
}

#[tidegate_testkit::test]
async fn clocks_are_read_without_a_lock() {
    let asks = Asks::default();
    let store = Told { store: MemoryStore::new(10), next: Mutex::default() };
    let limiter = FleetLimiter::builder(store, Quota::new(Rate::per_second(100), 10))
        .lease(1)
        .clock(AskedBack(TokioClock::new(), asks.clone()))
        .build()
        .unwrap();
    asks.by(&limiter);
    for _ in 0..20 {
        limiter.acquire("a", 1).await.unwrap();
    }
    limiter.store().next.lock().unwrap().push(StoreError::Panicked);
    for _ in 0..20 {
        let _ = limiter.acquire("a", 1).await;
    }
    assert!(asks.count() >= 40 && limiter.stats().errors == 1);
}
