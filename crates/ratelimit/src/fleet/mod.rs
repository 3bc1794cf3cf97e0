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
//! before. While the store is down, instances with [`Fallback::LocalShare`] keep to
//! `burst / instances + rate * t / instances` each, the burst being as empty as each has last seen the key;
//! so an outage adds at most one burst when it begins and one when it ends, and nothing for a key that all
//! instances have found at its limit, as they tell the store how empty it was when it is back.
//!
//! Tokens are not lost: an instance that is asked for less holds no more than `k`, for which it can be
//! [told](FleetLimiter::give_back) to let go.

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
mod state;
mod stats;
mod store;
mod table;
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
