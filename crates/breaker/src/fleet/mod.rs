//! Several breakers, one in each instance of a service, that share one view of what they guard.
//!
//! Each breaker decides by itself, at once and without I/O, as one that nobody shares does. Beside it runs a
//! [`FleetSync`], which the user spawns: at each interval, and at once after a change of state, it tells a
//! [`Store`] what the window of its breaker holds, and hears what the windows of the others hold and how the
//! fleet stands. The store is [`MemoryStore`] in this process, or Redis or Valkey with feature `redis`.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tidegate_breaker::{Breaker, State, Trip, fleet::{Fleet, MemoryStore}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new(100));
//! let build = || Breaker::builder("db").trip(Trip::failure_rate(0.5)).min_calls(4).build();
//! let (one, other) = (build()?, build()?);
//! let (_, mut of_one) = Fleet::builder(Arc::clone(&store)).share(&one)?;
//! let (_, mut of_other) = Fleet::builder(store).share(&other)?;
//! for breaker in [&one, &other] {
//!     breaker.try_enter()?.failure();
//!     breaker.try_enter()?.failure();
//! }
//! // A service has tasks of its own do this for ever: `scope.spawn(async move { of_one.run().await })`.
//! for _ in 0..3 {
//!     of_one.once().await?;
//!     of_other.once().await?;
//! }
//! assert_eq!((one.state(), other.state()), (State::Open, State::Open));
//! # Ok(())
//! # }
//! ```
//!
//! # What is shared
//!
//! - **Numbers.** The rates of a breaker, and how many calls they need, are those of its own window and of what
//!   the others have told of theirs; each part of that expires when it would have left the window of the other
//!   one, or after [`hold`](FleetBuilder::hold) if that is a window of calls. Who tells, tells all that its window
//!   holds, in place of what it told before: nothing counts twice, however often a message is sent and whenever
//!   it comes. Failures in a row have no order across instances and stay each one's own.
//! - **States.** The store keeps one record: how the fleet stands, with an epoch that each change of it
//!   raises. Who changes its state proposes that, with the epoch that it knows: the store takes the first
//!   proposal for an epoch, and all others follow it when they hear it. Numbers belong to an epoch, too.
//! - **Probes.** Once the wait is over, an instance that is called asks for leave to probe; the store gives it to
//!   one for the lease of a probe, and that one becomes half-open. The others stay open until it tells what it
//!   has found, or until its lease ends and the next one gets it. So the fleet sends as many probes as one
//!   breaker does.
//! - **Not by force.** `force_open`, `force_closed`, `metrics_only` and `disable` are one breaker's own: while
//!   they hold it neither proposes nor follows. `reset` of one that is open or half-open closes the fleet.
//!
//! # Without the store
//!
//! Each breaker goes on by its own numbers, and what others have said expires. One that is open and hears
//! nothing waits for leave no longer than two intervals and timeouts, and probes on its own then, at once if
//! it knows that the store is down; as it does if nobody runs its [`FleetSync`]. When the store is back, each
//! tells what its window holds by then and follows the record. If that is lost, the first to come makes a
//! new one from its own state, which has a number that no other record has; an epoch counts for its record alone.
//!
//! # What it does not keep to
//!
//! - The numbers of [`MAX_INSTANCES`] are kept. One that is one too many hears of the others and follows their states, but is
//!   not heard: [`FleetStats::is_unheard`], [`Event::FleetFull`](crate::Event::FleetFull).
//! - Instances of other settings open by other numbers. Each tells a digest of its settings, and hears how many of the others
//!   have another one: [`FleetStats::strangers`], [`Event::FleetDiffers`](crate::Event::FleetDiffers). While a new version
//!   with new settings is rolled out it says so, and nothing else is different.
//! - A breaker is shared once at a time: a second [`share`](FleetBuilder::share) is an error.
//! - A [`KeyedBreaker`](crate::KeyedBreaker) is not shared as a whole, as each of its keys would ask the store at each
//!   interval: share those that matter by names of their own, as in `key("hosts/eu").share(&hosts.breaker(&"eu"))`; the
//!   [`FleetSync`] of a key ends when that is forgotten.
//!
//! Clocks of instances do not matter: the store goes by its own, and all that is said are lengths of time.
//!
//! The idea to put what breakers know into a store is that of the distributed breaker of sony/gobreaker,
//! which holds a lock in Redis on the way of each call; here calls do not know of the store.

mod builder;
mod memory;
// Numbers and no pointers, which an interpreter takes minutes for.
#[cfg(all(test, not(any(tidegate_loom, miri))))]
mod model_tests;
#[cfg(feature = "redis")]
mod redis;
mod state;
mod stats;
mod store;
mod sync;

#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreError};
pub use self::{
    builder::{Fleet, FleetBuilder},
    memory::MemoryStore,
    state::{Answer, Ask, MAX_INSTANCES, View},
    stats::{FleetStats, FleetView},
    store::{Store, StoreError},
    sync::FleetSync,
};
