//! The only place that names locks, atomics and threads: std by default, loom under
//! `--cfg tidegate_loom`, so that every state machine built on it can be model-checked.

#[cfg(not(tidegate_loom))]
pub use std::{
    sync::{Arc, Condvar, LockResult, Mutex, MutexGuard, Weak, atomic},
    thread,
};

#[cfg(tidegate_loom)]
pub use loom::{
    sync::{Condvar, LockResult, Mutex, MutexGuard, atomic},
    thread,
};
// Reference counts are not part of any protocol here, and loom's `Arc` has no `Weak`.
#[cfg(tidegate_loom)]
pub use std::sync::{Arc, Weak};
