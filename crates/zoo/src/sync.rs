//! The locks and atomics of the specimens, as a program has them that is to be tested: std's with a
//! point of the testkit before each operation, or those of loom or shuttle, as the build says.

#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
use std::sync as backend;
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
use tidegate_testkit::point_here as point;

#[cfg(tidegate_loom)]
use loom::sync as backend;
#[cfg(tidegate_shuttle)]
use shuttle::sync as backend;
/// These step in by themselves.
#[cfg(any(tidegate_loom, tidegate_shuttle))]
fn point() {}

use backend::atomic::{self, Ordering::SeqCst};
use std::sync::PoisonError;

pub(crate) use backend::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

#[derive(Debug)]
pub(crate) struct AtomicUsize(atomic::AtomicUsize);

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> Self {
        Self(atomic::AtomicUsize::new(value))
    }

    #[track_caller]
    pub(crate) fn load(&self) -> usize {
        point();
        self.0.load(SeqCst)
    }

    #[track_caller]
    pub(crate) fn store(&self, value: usize) {
        point();
        self.0.store(value, SeqCst);
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: usize) -> usize {
        point();
        self.0.swap(value, SeqCst)
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, value: usize) -> usize {
        point();
        self.0.fetch_add(value, SeqCst)
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, value: usize) -> usize {
        point();
        self.0.fetch_sub(value, SeqCst)
    }

    /// Whether it was `current`, and is `new` now.
    #[track_caller]
    pub(crate) fn replace(&self, current: usize, new: usize) -> bool {
        point();
        self.0.compare_exchange(current, new, SeqCst, SeqCst).is_ok()
    }
}

#[derive(Debug)]
pub(crate) struct Mutex<T>(backend::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(backend::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        point();
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct RwLock<T>(backend::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(backend::RwLock::new(value))
    }

    #[track_caller]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        point();
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        point();
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(backend::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(backend::Condvar::new())
    }

    #[track_caller]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        point();
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        point();
        self.0.notify_one();
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        point();
        self.0.notify_all();
    }
}
