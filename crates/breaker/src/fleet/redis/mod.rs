//! A store in Redis or Valkey.

mod script;
#[cfg(all(test, unix, not(any(miri, tidegate_loom))))]
mod tests;

use self::script::EXCHANGE;
use super::{
    state::{Answer, Ask, Basis, MAX_INSTANCES, Mine, STEPS, Stand},
    store::{Store, StoreError},
};
use crate::state::Tally;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, Script,
    ServerErrorKind, aio::MultiplexedConnection,
};
use std::{
    fmt::{self, Write as _},
    future::Future,
    sync::Arc,
    time::Duration,
};
use tidegate_core::sync::{Mutex, lock};

/// How long it may take to connect, however long somebody would wait for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Doubles are exact up to here, with some of them added.
const MOST: u64 = 1 << 40;

/// A [`Store`] in a Redis or Valkey server, from version 5 on.
///
/// Each exchange is one script, by the clock of the server, on one hash for each fleet, which the server
/// forgets some time after the last instance is gone. A server that does not know the script is sent it once.
/// The connection is made by the first exchange, and again by the first after one that was not answered. It
/// needs no permission but for `EVAL`, `EVALSHA`, `HGETALL`, `HSET`, `HDEL`, `DEL`, `PEXPIRE` and `TIME`.
///
/// It is for one server, or one that sentinels or a proxy choose; what it keeps has hash tags, as a cluster
/// wants it. Breakers of one process share it in an `Arc`.
///
/// ```
/// use tidegate_breaker::{Breaker, fleet::{Fleet, RedisStore}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = Breaker::builder("db").build()?;
/// let store = RedisStore::new("redis://redis.internal/")?; // it connects when it is asked
/// let (view, mut sync) = Fleet::builder(store).share(&breaker)?;
/// let beside = async move { sync.run().await }; // to be spawned
/// assert!(!view.stats().is_shared);
/// # drop(beside);
/// # Ok(())
/// # }
/// ```
pub struct RedisStore {
    client: Client,
    /// The present one, if it has answered whatever it was asked.
    connection: Mutex<Option<MultiplexedConnection>>,
    script: Script,
}

/// An address that is none.
#[derive(Debug, thiserror::Error)]
#[error("not the address of a Redis server")]
pub struct RedisStoreError(#[source] RedisError);

impl RedisStore {
    /// A store in the server at that address: `redis://user:password@host:port/database`,
    /// `unix:///path/to/socket`, or what else the [client](redis) takes. It does not connect yet.
    ///
    /// # Errors
    ///
    /// If it is no address.
    pub fn new(address: impl IntoConnectionInfo) -> Result<Self, RedisStoreError> {
        Client::open(address).map(Self::with_client).map_err(RedisStoreError)
    }

    /// A store in the server of that client.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self { client, connection: Mutex::new(None), script: Script::new(EXCHANGE) }
    }

    /// As [`Store::exchange`], by another time than that of the server, in microseconds: for tests of what it does.
    ///
    /// # Errors
    ///
    /// As [`Store::exchange`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it was sent or was not; sent again, its numbers count once. Tested by
    /// `cancel_exchange_at_counts_once_what_is_sent_again`.
    #[doc(hidden)]
    pub async fn exchange_at(
        &self,
        key: &str,
        ask: &Ask,
        now: Option<u64>,
    ) -> Result<Answer, StoreError> {
        // Taken out: one that is not put back, as it was dropped or has failed, is not used again.
        let kept = lock(&self.connection).take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let (kind, span, asks) = match ask.mine {
            Mine::Watching => ("W", 0, false),
            Mine::Closed => ("C", 0, false),
            Mine::Reset => ("R", 0, false),
            Mine::Open { left } => ("O", left, false),
            Mine::Probing { lease, asks } => ("P", lease, asks),
        };
        let mut invocation = self.script.key(key);
        invocation.arg(hex(ask.instance)).arg(ask.seq).arg(hex(ask.fresh));
        match ask.basis {
            Some(Basis { run, epoch }) => invocation.arg(hex(run)).arg(epoch),
            None => invocation.arg("").arg(""),
        };
        invocation.arg(kind).arg(span.min(MOST)).arg(u8::from(asks)).arg(ask.hold.min(MOST));
        invocation.arg(STEPS).arg(MAX_INSTANCES).arg(hex(ask.digest)).arg(parts(&ask.parts));
        if let Some(now) = now {
            invocation.arg(now);
        }
        let result = invocation.invoke_async::<Said>(&mut connection).await;
        let is_lost = result.as_ref().is_err_and(RedisError::is_unrecoverable_error);
        if !is_lost {
            let former = lock(&self.connection).replace(connection);
            drop(former);
        }
        answer(result.map_err(failure)?)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        // Who waits for an answer has a timeout of his own.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(failure)
    }
}

fn hex(number: u64) -> String {
    format!("{number:x}")
}

fn parts(parts: &[(u64, Tally)]) -> String {
    let mut text = String::new();
    for (left, Tally { calls, failures, slow }) in parts {
        let [left, calls, failures, slow] = [left, calls, failures, slow].map(|n| *n.min(&MOST));
        let _ = write!(text, "{left},{calls},{failures},{slow};");
    }
    text
}

/// Kind, run, epoch, left, whether it is the asker's, what others have told, whether the asker is heard, and how many
/// strangers there are.
type Said = (String, String, u64, u64, u64, Vec<u64>, i64, u64);

fn answer(said: Said) -> Result<Answer, StoreError> {
    let (kind, run, epoch, left, is_mine, others, heard, strangers) = said;
    let stand = match kind.as_str() {
        "N" => return Ok(Answer::nothing()),
        "C" => Stand::Closed,
        "O" => Stand::Open { left },
        "P" => Stand::Probing { left, is_mine: is_mine == 1 },
        _ => return Err(strange("a state that it does not know")),
    };
    let run = u64::from_str_radix(&run, 16).map_err(|_| strange("a run that is no number"))?;
    let part = |four: &[u64]| {
        let tally = Tally { calls: four[1], failures: four[2], slow: four[3] };
        (four[0], tally)
    };
    let mut others: Vec<_> = others.chunks_exact(4).map(part).collect();
    others.sort_unstable_by_key(|(left, _)| *left);
    let stand = Some((Basis { run, epoch }, stand));
    Ok(Answer { stand, others, is_heard: (heard >= 0).then_some(heard > 0), strangers })
}

fn strange(what: &'static str) -> StoreError {
    StoreError::Refused(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(what)))
}

impl Store for RedisStore {
    fn exchange(
        &self,
        key: &str,
        ask: &Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        self.exchange_at(key, ask, None)
    }
}

fn failure(error: RedisError) -> StoreError {
    let is_passing = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly
        )
    );
    if is_passing || error.is_io_error() || error.is_unrecoverable_error() {
        StoreError::Unreachable(Arc::new(error))
    } else {
        StoreError::Refused(Arc::new(error))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}
