//! A store with troubles, and a clock that is wrong.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tidegate_ratelimit::{
    Clock, TokioClock,
    clock::Timer,
    fleet::{Answer, Ask, MemoryStore, Store, StoreError, StoreQuota},
};
use tokio::time::sleep;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Trouble {
    #[default]
    Nothing,
    /// It takes so long until it does something, and again until it has answered.
    Slow(Duration),
    Fails,
    Hangs,
    Panics,
}

/// A store that counts what it is asked, and is not always well.
#[derive(Debug)]
pub(crate) struct Faulty<S = MemoryStore> {
    pub(crate) store: S,
    trouble: Mutex<Trouble>,
    asked: AtomicU64,
}

impl Faulty {
    pub(crate) fn memory(trouble: Trouble) -> Arc<Self> {
        Arc::new(Self::new(MemoryStore::new(10_000), trouble))
    }
}

impl<S> Faulty<S> {
    pub(crate) fn new(store: S, trouble: Trouble) -> Self {
        Self { store, trouble: Mutex::new(trouble), asked: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

impl<S: Store> Store for Faulty<S> {
    async fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> Result<Answer, StoreError> {
        self.asked.fetch_add(1, SeqCst);
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            Trouble::Nothing => self.store.exchange(key, quota, ask).await,
            Trouble::Slow(latency) => {
                sleep(latency).await;
                let answer = self.store.exchange(key, quota, ask).await;
                sleep(latency).await;
                answer
            }
            Trouble::Fails => {
                let error = std::io::Error::other("as it was told");
                Err(StoreError::Unreachable(Arc::new(error)))
            }
            Trouble::Hangs => std::future::pending().await,
            Trouble::Panics => panic!("as it was told"),
        }
    }
}

/// tokio's clock, and a time beside it that can be changed.
#[derive(Clone, Debug)]
pub(crate) struct Skewed(TokioClock, Arc<AtomicI64>);

impl Skewed {
    pub(crate) fn by(nanos: i64) -> Self {
        Self(TokioClock::new(), Arc::new(AtomicI64::new(nanos)))
    }

    pub(crate) fn set(&self, nanos: i64) {
        self.1.store(nanos, SeqCst);
    }
}

impl Clock for Skewed {
    type Timer = SkewedTimer;

    fn now(&self) -> u64 {
        (self.0.now() + 10_000_000_000).saturating_add_signed(self.1.load(SeqCst))
    }

    fn timer(&self) -> SkewedTimer {
        SkewedTimer(self.clone(), Box::pin(self.0.timer()))
    }
}

pub(crate) struct SkewedTimer(Skewed, Pin<Box<<TokioClock as Clock>::Timer>>);

impl Timer for SkewedTimer {
    fn poll_until(mut self: Pin<&mut Self>, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let left = at.saturating_sub(self.0.now());
        let until = self.0.0.now() + left;
        self.1.as_mut().poll_until(until, cx)
    }

    fn is_of_caller(&self) -> bool {
        self.1.is_of_caller()
    }
}
