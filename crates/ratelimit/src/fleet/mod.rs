//! One limit for a fleet of instances.
//!
//! A [`FleetLimiter`] keeps to one quota per key, whichever instance is asked. What was taken is kept in a
//! [`Store`]: [`MemoryStore`] in this process, or Redis or Valkey with feature `redis`.
//!
//! # What it keeps to
//!
//! With `n` instances that take `k` tokens [at once](FleetLimiterBuilder::lease), a key admits in any time
//! `t`, whatever the clocks of the instances say, at most
//!
//! ```text
//! burst + rate * t + n * k
//! ```
//!
//! since the store keeps to `burst + rate * t`, and what an instance has in hand at the start was taken
//! before.
//!
//! While the store is down, each instance with [`Fallback::LocalShare`] keeps to the rate and the burst
//! divided by `n`, from how empty it has last seen the key. When it is back, each tells it how empty the key
//! is by now, in case it has forgotten, and keeps to its share as well until the others have had the time to
//! find it again. So the bound holds across outages and crashes for a key that all instances have found at
//! its limit; for one that some have not seen, an outage adds their shares of a burst when it begins, and of
//! another one when it ends. An instance that is cut off while others are not adds its share for as long.
//!
//! A key that the store refuses, and no other, such as a new one for which it has no room, goes without the
//! store by the same rules, alone: others do not notice.
//!
//! Tokens are not lost: an instance that is asked for less holds no more than `k`, for which it can be
//! [told](FleetLimiter::give_back) to let go, as a service does before it ends. Of keys that have to go, and
//! where a limiter is dropped, they are given back as far as that takes no waiting: up to 64 such exchanges go
//! on whenever the limiter asks the store, is told to give back, or is asked for its
//! [numbers](FleetLimiter::stats). What is not given back comes back by itself, at the rate: until then the
//! limit admits fewer, and never more. It is counted as [forfeited](FleetStats::forfeited), and told by an event:
//! what the store has not taken within the [timeout](FleetLimiterBuilder::timeout), what it fails to take, and
//! what is more than 64 at a time. Outside of a runtime, a limiter that is dropped gives nothing back, not even
//! to a [`MemoryStore`].

mod bell;
mod builder;
mod entry;
mod error;
mod inner;
mod limiter;
mod memory;
mod observe;
mod permit;
#[cfg(feature = "redis")]
mod redis;
mod returns;
mod state;
mod stats;
mod store;
mod table;
mod terms;
mod trust;
mod wait;

#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreError};
pub use self::{
    builder::{DEFAULT_MAX_KEYS, Fallback, FleetLimiterBuilder},
    error::{FleetAcquireError, FleetConfigError, FleetTryAcquireError},
    limiter::FleetLimiter,
    memory::MemoryStore,
    permit::FleetPermit,
    state::{StoreQuota, Tat},
    stats::{FleetPeek, FleetStats},
    store::{Answer, Ask, Store, StoreError},
};
// What `FleetLimiterBuilder::backoff` takes.
pub use tidegate_core::{Backoff, Jitter};
