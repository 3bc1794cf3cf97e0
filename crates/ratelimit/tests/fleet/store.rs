//! A store with troubles.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tidegate_ratelimit::fleet::{Answer, Ask, MemoryStore, Store, StoreError, StoreQuota};
use tokio::time::sleep;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Trouble {
    #[default]
    Nothing,
    /// It takes so long until it does something, and again until it has answered.
    Slow(Duration),
    Fails,
    /// It does what it is told, and the answer is lost.
    LosesAnswers,
    Hangs,
    Panics,
    /// It refuses the key `bad`.
    Refuses,
    /// As these, if it is given something back, and well otherwise.
    SlowOnRefunds(Duration),
    HangsOnRefunds,
    FailsOnRefunds,
    PanicsOnRefunds,
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
        let trouble = match *self.trouble.lock().unwrap() {
            Trouble::SlowOnRefunds(latency) if ask.refund > 0 => Trouble::Slow(latency),
            Trouble::HangsOnRefunds if ask.refund > 0 => Trouble::Hangs,
            Trouble::FailsOnRefunds if ask.refund > 0 => Trouble::Fails,
            Trouble::PanicsOnRefunds if ask.refund > 0 => Trouble::Panics,
            trouble => trouble,
        };
        match trouble {
            Trouble::Slow(latency) => {
                sleep(latency).await;
                let answer = self.store.exchange(key, quota, ask).await;
                sleep(latency).await;
                answer
            }
            Trouble::LosesAnswers => {
                let _ = self.store.exchange(key, quota, ask).await;
                let error = std::io::Error::other("as it was told");
                Err(StoreError::Unreachable(Arc::new(error)))
            }
            Trouble::Fails => {
                let error = std::io::Error::other("as it was told");
                Err(StoreError::Unreachable(Arc::new(error)))
            }
            Trouble::Refuses if key.contains("{bad}") => {
                let error = std::io::Error::other("as it was told");
                Err(StoreError::KeyRefused(Arc::new(error)))
            }
            Trouble::Nothing
            | Trouble::Refuses
            | Trouble::SlowOnRefunds(_)
            | Trouble::HangsOnRefunds
            | Trouble::FailsOnRefunds
            | Trouble::PanicsOnRefunds => self.store.exchange(key, quota, ask).await,
            Trouble::Hangs => std::future::pending().await,
            Trouble::Panics => panic!("as it was told"),
        }
    }
}
