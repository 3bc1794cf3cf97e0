//! A store with troubles.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_breaker::fleet::{Answer, Ask, MemoryStore, Store, StoreError};
use tokio::time::sleep;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Trouble {
    #[default]
    Nothing,
    /// It takes so long until it does something, and again until it has answered.
    Slow(Duration),
    Fails,
    /// It does what it is asked, and does not say so.
    Mute,
    Hangs,
}

/// A store that counts what it is asked, and is not always well.
#[derive(Debug)]
pub(crate) struct Faulty<S = MemoryStore> {
    pub(crate) store: S,
    trouble: Mutex<Trouble>,
    asked: AtomicU64,
}

impl Faulty {
    pub(crate) fn memory() -> Arc<Self> {
        Arc::new(Self::new(MemoryStore::new(8)))
    }
}

impl<S> Faulty<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, trouble: Mutex::default(), asked: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

impl<S: Store> Store for Faulty<S> {
    async fn exchange(&self, key: &str, ask: &Ask) -> Result<Answer, StoreError> {
        self.asked.fetch_add(1, SeqCst);
        let trouble = *self.trouble.lock().unwrap();
        let failure = || StoreError::Unreachable(Arc::new(std::io::Error::other("as told")));
        match trouble {
            Trouble::Nothing => self.store.exchange(key, ask).await,
            Trouble::Slow(latency) => {
                sleep(latency).await;
                let answer = self.store.exchange(key, ask).await;
                sleep(latency).await;
                answer
            }
            Trouble::Fails => Err(failure()),
            Trouble::Mute => {
                self.store.exchange(key, ask).await?;
                Err(failure())
            }
            Trouble::Hangs => std::future::pending().await,
        }
    }
}
