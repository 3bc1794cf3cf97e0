//! The connection, as long as it is good.

use super::super::store::StoreError;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use std::{sync::Arc, time::Duration};
use tidegate_core::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
    lock,
};

/// How long it may take to connect, however long somebody would wait for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection on which so many in a row were not answered is given up: the other side may be gone without
/// a word. In a row are those of which each began after the one before was given up: what is given up together
/// tells once that there was no answer.
const UNANSWERED_MAX: u32 = 2;

/// Being made, or made: for all who want one.
type Link = Shared<BoxFuture<'static, Result<MultiplexedConnection, StoreError>>>;

/// One connection at a time. Whoever is polled makes it, so that nobody who is not polled holds it up.
pub(super) struct Connection {
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    /// Which one it is.
    number: u64,
    /// How many answers have come over it.
    answers: u64,
    /// Attempts that were given up in a row, since the last answer.
    unanswered: u32,
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// An exchange begins, over the present connection or a new one.
    pub(super) fn attempt(&self) -> Attempt<'_> {
        let mut state = lock(&self.state);
        let link = state.link.get_or_insert_with(|| connect(self.client.clone())).clone();
        let State { number, answers, unanswered, .. } = *state;
        drop(state);
        let (is_sent, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Attempt { owner: self, link, number, answers, unanswered, is_sent, is_over }
    }
}

fn connect(client: Client) -> Link {
    let connect = async move {
        // Who waits for an answer has a timeout of his own.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        connection.map_err(|error| StoreError::Unreachable(Arc::new(error)))
    };
    connect.boxed().shared()
}

/// One exchange. Dropped after it was sent and before it is over, it was not answered.
pub(super) struct Attempt<'a> {
    owner: &'a Connection,
    link: Link,
    /// The connection, and how it stood, when it began.
    number: u64,
    answers: u64,
    unanswered: u32,
    is_sent: AtomicBool,
    is_over: AtomicBool,
}

impl Attempt<'_> {
    /// The connection, once it is made.
    pub(super) async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let connection = self.link.clone().await;
        match &connection {
            Ok(_) => self.is_sent.store(true, Relaxed),
            Err(_) => self.is_lost(),
        }
        connection
    }

    pub(super) fn is_answered(&self) {
        self.end(|state| {
            state.answers += 1;
            state.unanswered = 0;
        });
    }

    /// The next one makes another connection.
    pub(super) fn is_lost(&self) {
        let link = self.end(State::part);
        drop(link);
    }

    fn end<R: Default>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        self.is_over.store(true, Relaxed);
        let mut state = lock(&self.owner.state);
        // Not another one, which may be better.
        if state.number == self.number { act(&mut state) } else { R::default() }
    }
}

impl State {
    fn part(&mut self) -> Option<Link> {
        self.number += 1;
        (self.answers, self.unanswered) = (0, 0);
        self.link.take()
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // One that was never sent tells nothing: a connection that is being made has a timeout of its own.
        if self.is_over.load(Relaxed) || !self.is_sent.load(Relaxed) {
            return;
        }
        let link = self.end(|state| {
            // The other side has answered since: this one is of no use to who asked, but not unanswered.
            if state.answers != self.answers {
                return None;
            }
            state.unanswered = state.unanswered.max(self.unanswered + 1);
            if state.unanswered < UNANSWERED_MAX { None } else { state.part() }
        });
        drop(link);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
