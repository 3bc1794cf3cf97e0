//! What HTTP has for limits: header fields that tell clients about them, and the address of a client that
//! comes through proxies.
//!
//! ```
//! use http::HeaderMap;
//! use tidegate_ratelimit::{Denied, Quota, Rate, RateLimiter, http::QuotaPolicy};
//!
//! let quota = Quota::new(Rate::per_minute(100), 10);
//! let limiter = RateLimiter::builder(quota.rate()).burst(quota.burst()).build().unwrap();
//! let policy = QuotaPolicy::of("default", quota).unwrap();
//! let mut headers = HeaderMap::new();
//! policy.tell(limiter.peek().remaining, &mut headers);
//! assert_eq!(headers["ratelimit-policy"], r#""default";q=100;w=60"#);
//! assert_eq!(headers["ratelimit"], r#""default";r=10"#);
//!
//! limiter.try_acquire(10).unwrap();
//! let denied = Denied::from(limiter.try_acquire(1).unwrap_err());
//! let mut headers = HeaderMap::new();
//! policy.tell_denied(&denied, &mut headers);
//! assert_eq!(headers["ratelimit"], r#""default";r=0;t=1"#);
//! assert_eq!(headers["retry-after"], "1");
//! ```

mod client;
mod field;
mod forwarded;
mod network;

pub use self::{
    client::{ClientAddress, ProxyField},
    field::{
        InvalidName, QuotaPolicy, QuotaUnit, RATELIMIT, RATELIMIT_POLICY, RetryAfter, ServiceLimit,
    },
    network::{InvalidNetwork, Network},
};
