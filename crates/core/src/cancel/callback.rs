//! A function that is called when a token is cancelled.

use super::{Cause, node::Node};
use crate::{
    observe,
    panic::{drop_quietly, message},
    sync::{Arc, Mutex, lock},
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

type Function = Box<dyn FnOnce(&Cause) + Send>;

/// A function among the waiters of a node. Whoever takes it out calls or drops it.
pub(crate) struct Callback(Mutex<Option<Function>>);

impl Callback {
    fn take(&self) -> Option<Function> {
        lock(&self.0).take()
    }

    pub(super) fn call(&self, cause: &Cause) {
        let Some(function) = self.take() else { return };
        // Nobody up the stack expects a panic: it may be any `cancel` in the program.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| function(cause))) {
            observe::callback_panicked(cause, &message(&*payload));
            drop_quietly(payload);
        }
    }
}

/// A registered function; made by [`CancelToken::on_cancel`](super::CancelToken::on_cancel).
/// Dropping it takes the function back.
#[must_use = "dropping it takes the function back: call `keep` to leave it registered"]
pub struct OnCancel(Option<Registered>);

struct Registered {
    node: Arc<Node>,
    key: usize,
    callback: Arc<Callback>,
}

impl OnCancel {
    pub(super) fn register(node: &Arc<Node>, function: Function) -> Self {
        let callback = Arc::new(Callback(Mutex::new(Some(function))));
        match node.add_callback(&callback) {
            Ok(key) => Self(Some(Registered { node: Arc::clone(node), key, callback })),
            Err(cause) => {
                callback.call(&cause);
                Self(None)
            }
        }
    }

    /// Takes the function back. Returns whether it will never be called: false means that it
    /// was, or is being called by another thread right now.
    #[must_use = "the function may be running"]
    pub fn unregister(mut self) -> bool {
        self.take_back().is_some()
    }

    /// Leaves the function registered for as long as the token lives. A function that holds
    /// this token, or one below it, keeps it alive until it is cancelled: take the cause from
    /// the argument, and hold tokens of other trees only.
    pub fn keep(mut self) {
        self.0 = None;
    }

    fn take_back(&mut self) -> Option<Function> {
        let Registered { node, key, callback } = self.0.take()?;
        node.forget_callback(key);
        // A cancellation may have taken the waiters and not have come to this one yet.
        callback.take()
    }
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        drop(self.take_back());
    }
}

impl fmt::Debug for OnCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCancel").field("registered", &self.0.is_some()).finish()
    }
}
