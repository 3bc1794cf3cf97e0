//! What reaches a running supervisor: news of its children, and commands.
//!
//! There is one reader. Commands are bounded by their permits, and of each life of a child there
//! are two letters at most.

use super::{Exit, state::ChildId};
use crate::{
    cancel::SharedError,
    panic::wake_quietly,
    sync::{Arc, Mutex, lock},
};
use std::task::{Context, Poll, Waker};

pub(super) enum Mail<C> {
    Ready { id: ChildId, incarnation: u64 },
    NeverReady { id: ChildId, incarnation: u64 },
    Ended { id: ChildId, incarnation: u64, end: End },
    Command(C),
}

/// How a child ended, with the error that it returned.
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) error: Option<Arc<dyn SharedError>>,
}

pub(super) struct Mailbox<C>(Mutex<State<C>>);

struct State<C> {
    is_open: bool,
    /// How many children have not told their end yet, those of a run that was dropped included.
    alive: usize,
    mail: Vec<Mail<C>>,
    reader: Option<Waker>,
}

impl<C> Mailbox<C> {
    pub(super) fn new() -> Self {
        let (mail, reader) = (Vec::new(), None);
        Self(Mutex::new(State { is_open: false, alive: 0, mail, reader }))
    }

    /// Begins a run; false, if there is one, or a child of an earlier one lives.
    pub(super) fn open(&self) -> bool {
        let mut state = lock(&self.0);
        let is_free = !state.is_open && state.alive == 0;
        state.is_open |= is_free;
        is_free
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.0).is_open
    }

    /// Ends a run. Nobody reads what is left, and what comes.
    pub(super) fn close(&self) -> Vec<Mail<C>> {
        let (mail, reader) = {
            let mut state = lock(&self.0);
            state.is_open = false;
            (std::mem::take(&mut state.mail), state.reader.take())
        };
        drop(reader);
        mail
    }

    /// Leaves a letter, which comes back if nobody will read it.
    pub(super) fn post(&self, letter: Mail<C>) -> Result<(), Mail<C>> {
        self.post_with(letter, |_| {})
    }

    /// A child begins to live.
    pub(super) fn born(&self) {
        lock(&self.0).alive += 1;
    }

    /// A child has ended, and tells so.
    pub(super) fn died(&self, letter: Mail<C>) -> Result<(), Mail<C>> {
        self.post_with(letter, |state| state.alive -= 1)
    }

    fn post_with(
        &self,
        letter: Mail<C>,
        change: impl FnOnce(&mut State<C>),
    ) -> Result<(), Mail<C>> {
        let reader = {
            let mut state = lock(&self.0);
            change(&mut state);
            if !state.is_open {
                return Err(letter);
            }
            state.mail.push(letter);
            state.reader.take()
        };
        if let Some(reader) = reader {
            wake_quietly(reader);
        }
        Ok(())
    }

    /// All letters there are, once there is one.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Vec<Mail<C>>> {
        // Foreign code, so not under the lock.
        let waker = Some(cx.waker().clone());
        let former = {
            let mut state = lock(&self.0);
            if !state.mail.is_empty() {
                return Poll::Ready(std::mem::take(&mut state.mail));
            }
            std::mem::replace(&mut state.reader, waker)
        };
        drop(former);
        Poll::Pending
    }
}
