//! The only place that names locks, atomics and threads: std by default, loom under
//! `--cfg tidegate_loom`, so that every state machine built on it can be model-checked, shuttle
//! under `--cfg tidegate_shuttle`, so that whole scopes run under schedules of its making, and
//! under `--cfg tidegate_stress` std with a hook before each operation, for stress tests.

#[cfg(not(any(tidegate_loom, tidegate_shuttle, tidegate_stress)))]
pub use std::sync::{Condvar, Mutex, atomic};
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
pub use std::{
    sync::{LockResult, MutexGuard},
    thread,
};

#[cfg(tidegate_loom)]
pub use loom::{
    sync::{Condvar, LockResult, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(tidegate_shuttle)]
pub use shuttle::{
    sync::{Condvar, LockResult, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(all(tidegate_stress, not(any(tidegate_loom, tidegate_shuttle))))]
pub mod inject;
#[cfg(all(tidegate_stress, not(any(tidegate_loom, tidegate_shuttle))))]
pub use self::inject::{Condvar, Mutex, atomic};

// Under shuttle all threads are one to the system, and the macro tells them apart.
#[cfg(tidegate_shuttle)]
pub use shuttle::thread_local;
#[cfg(not(tidegate_shuttle))]
pub use std::thread_local;

// Reference counts carry no part of any protocol here, and loom's `Arc` has no `Weak`.
pub use std::sync::{Arc, Weak};

/// Locks, whether or not a panic poisoned the lock: no state here is left half-changed by a
/// panic, since user code never runs under a lock.
#[track_caller]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// std's in a model, too: for what takes part in no protocol, and for what is a static, which
/// loom's cannot be.
pub mod unmodelled {
    pub use std::sync::{
        Condvar, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    };

    /// Locks, as [`lock`](super::lock) does.
    pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
