//! std's locks and atomics, each operation after a call of a hook: a stress test steps in there.

pub mod atomic;

use std::{
    panic::Location,
    sync::{LockResult, MutexGuard, OnceLock, TryLockResult, WaitTimeoutResult},
    time::Duration,
};

/// Called with the place of the operation that comes next, on the thread that is to do it.
pub type Hook = fn(&'static Location<'static>);

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Calls `hook` before each operation from now on, in the whole process. The first hook stays.
pub fn with(hook: Hook) {
    HOOK.get_or_init(|| hook);
}

#[track_caller]
fn point() {
    if let Some(hook) = HOOK.get() {
        hook(Location::caller());
    }
}

/// A [`std::sync::Mutex`] with a point before each lock.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// As std's.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// As std's.
    ///
    /// # Errors
    /// As std's.
    pub fn into_inner(self) -> LockResult<T> {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// As std's, after a point.
    ///
    /// # Errors
    /// As std's.
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        point();
        self.0.lock()
    }

    /// As std's, after a point.
    ///
    /// # Errors
    /// As std's.
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        point();
        self.0.try_lock()
    }

    /// As std's.
    ///
    /// # Errors
    /// As std's.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }
}

/// A [`std::sync::Condvar`] with a point before each wait and each wake-up.
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// As std's.
    #[must_use]
    pub const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    /// As std's, after a point.
    ///
    /// # Errors
    /// As std's.
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        point();
        self.0.wait(guard)
    }

    /// As std's, after a point.
    ///
    /// # Errors
    /// As std's.
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        point();
        self.0.wait_timeout(guard, time)
    }

    /// As std's, after a point.
    #[track_caller]
    pub fn notify_one(&self) {
        point();
        self.0.notify_one();
    }

    /// As std's, after a point.
    #[track_caller]
    pub fn notify_all(&self) {
        point();
        self.0.notify_all();
    }
}
