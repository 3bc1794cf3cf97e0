//! A store in Redis or Valkey.

mod connection;
mod script;

use self::{connection::Connection, script::EXCHANGE};
use super::{
    state::StoreQuota,
    store::{Answer, Ask, Store, StoreError},
};
use redis::{Client, ErrorKind, IntoConnectionInfo, RedisError, Script, ServerErrorKind};
use std::{fmt, future::Future, sync::Arc};

/// A [`Store`] in a Redis or Valkey server, from version 5 on.
///
/// Each exchange is one script, by the clock of the server, on one key, which the server forgets when it is
/// full. A server that does not know the script is sent it with the exchange, once. It needs no permission but
/// for `EVAL`, `EVALSHA`, `GET`, `SET`, `DEL` and `TIME`. All exchanges go over one connection, which is made by
/// the first of them, and again by the first after it was lost or two, one after the other, were not answered.
///
/// It is for one server, or one address behind which there is the primary, by a proxy or by name: a server that
/// says that it is a replica is left, and the address is asked again. It asks no sentinels. What it keeps has
/// hash tags, as a cluster wants it.
///
/// A server that evicts keys forgets what was taken of them: have it keep them, by `maxmemory-policy noeviction`.
/// For TLS, depend on the [client](redis) in the same version, with a feature such as `tokio-rustls-comp`.
///
/// ```
/// use tidegate_ratelimit::{Quota, Rate, fleet::{Fallback, FleetLimiter, RedisStore}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::new("redis://redis.internal/")?;
/// let limiter = FleetLimiter::builder(store, Quota::new(Rate::per_second(1000), 200))
///     .lease(20)
///     .fallback(Fallback::LocalShare { instances: 8 })
///     .build()?; // it connects when it is asked
/// assert!(!limiter.stats().is_degraded);
/// # Ok(())
/// # }
/// ```
pub struct RedisStore {
    connection: Connection,
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
        Self { connection: Connection::new(client), script: Script::new(EXCHANGE) }
    }

    /// As [`Store::exchange`], by another time than that of the server: for tests of what it does.
    ///
    /// # Errors
    ///
    /// As [`Store::exchange`].
    ///
    /// # Cancel safety
    ///
    /// As [`Store::exchange`]: dropped, it may have taken what it asked for, once, and nothing else; the
    /// connection is as good as before. Tested by `cancel_exchange_at_takes_what_it_asked_for_at_most`.
    #[doc(hidden)]
    pub async fn exchange_at(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
        now: Option<u64>,
    ) -> Result<Answer, StoreError> {
        let attempt = self.connection.attempt();
        let mut connection = attempt.connection().await?;
        let command = |name, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(key);
            command.arg(&[quota.tick(), quota.token(), quota.burst()]);
            command.arg(&[ask.at_least, ask.refund, ask.min, ask.max]).arg(now);
            command
        };
        let known = command("EVALSHA", self.script.get_hash());
        let mut result: Result<(u64, u64, u64), _> = known.query_async(&mut connection).await;
        if result.as_ref().is_err_and(is_unknown_script) {
            // With the text: whatever others flush meanwhile, this is done.
            result = command("EVAL", EXCHANGE).query_async(&mut connection).await;
        }
        let (granted, micros, units) = result.map_err(|error| {
            if error.is_unrecoverable_error() || is_of_replica(&error) {
                attempt.is_lost();
            } else {
                attempt.is_answered();
            }
            failure(error)
        })?;
        attempt.is_answered();
        let units = quota.time(units);
        Ok(Answer { granted, full_after: std::time::Duration::from_micros(micros) + units })
    }
}

impl Store for RedisStore {
    fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        self.exchange_at(key, quota, ask, None)
    }
}

/// What is wrong with a server, whatever the key: the first words of its errors. Of those in a script older
/// servers make errors that begin with another one, and name these within.
const OF_SERVER: [&str; 13] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNKILLABLE",
    "WRONGPASS",
];

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
    } else if is_of_key(&error) {
        StoreError::KeyRefused(Arc::new(error))
    } else {
        StoreError::Refused(Arc::new(error))
    }
}

/// Whether the server is the primary no more. Another one may be at its address by now, to which this
/// connection does not lead.
fn is_of_replica(error: &RedisError) -> bool {
    // Older servers have it within an error of the script, as the code of another one. Other texts may name it, as
    // that of an address.
    error.code().is_some_and(|code| {
        code == "READONLY" || error.detail().is_some_and(|detail| detail.contains("-READONLY "))
    })
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether another key may do: this one holds something else, or is kept by another node of a cluster; or
/// the script has failed.
fn is_of_key(error: &RedisError) -> bool {
    let text = error.to_string();
    let mut words = text.split(|letter: char| !letter.is_ascii_uppercase());
    // The last ones are how Redis and Valkey tell of permissions that are missing in a script.
    let is_of_server = words.any(|word| OF_SERVER.contains(&word))
        || text.contains("The user executing the script")
        || text.contains("ACL failure");
    let is_elsewhere = matches!(error.code(), Some("WRONGTYPE" | "MOVED" | "ASK" | "CROSSSLOT"));
    !is_of_server && (is_elsewhere || text.contains("user_script"))
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

    use super::*;

    fn of_server(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn a_replica_is_known_by_the_code_and_by_nothing_else() {
        let within = "Error running script (call to f_1): @user_script:9: @user_script: 9: ";
        for line in [
            "READONLY You can't write against a read only replica.",
            &format!("ERR {within}-READONLY You can't write against a read only replica."),
        ] {
            assert!(is_of_replica(&of_server(line)), "{line}");
        }
        for line in [
            "ERR unknown command 'READONLY', with args beginning with:",
            "NOPERM User readonly has no permissions to run the 'evalsha' command",
            "MOVED 7 readonly.example:6379",
            &format!("ERR {within}-OOM command not allowed when a READONLY replica is full"),
        ] {
            assert!(!is_of_replica(&of_server(line)), "{line}");
        }
        let text = "failed to lookup address of redis-readonly.example";
        assert!(!is_of_replica(&RedisError::from(std::io::Error::other(text))));
    }
}
