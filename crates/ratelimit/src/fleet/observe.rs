//! Events on state changes, target `tidegate::ratelimit`; nothing without the feature.

use super::store::StoreError;
use std::time::Duration;
use tidegate_core::Name;

#[cfg(feature = "tracing")]
const TARGET: &str = "tidegate::ratelimit";

/// The store is down: decisions are made without it.
pub(super) fn degraded(name: &Name, error: &StoreError, retry_after: Duration) {
    #[cfg(feature = "tracing")]
    {
        let cause = std::error::Error::source(error).map(tracing::field::display);
        tracing::warn!(target: TARGET, limiter = %name, %error, cause, ?retry_after, "degraded");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (name, error, retry_after);
}

/// The store decides again.
pub(super) fn recovered(name: &Name) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: TARGET, limiter = %name, "recovered");
    #[cfg(not(feature = "tracing"))]
    let _ = name;
}

/// The store refuses a key: decisions on it are made without the store. A crowd of keys makes a crowd of
/// events: only one now and then is a warning.
pub(super) fn refused(name: &Name, key: &str, error: &StoreError, warns: bool) {
    #[cfg(feature = "tracing")]
    {
        let cause = std::error::Error::source(error).map(tracing::field::display);
        if warns {
            tracing::warn!(target: TARGET, limiter = %name, %error, cause, "key refused");
        }
        tracing::debug!(target: TARGET, limiter = %name, key, %error, cause, "key refused");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (name, key, error, warns);
}

/// The store decides on the key again.
pub(super) fn accepted(name: &Name, key: &str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: TARGET, limiter = %name, key, "key accepted again");
    #[cfg(not(feature = "tracing"))]
    let _ = (name, key);
}

/// Tokens were given up: they come back by themselves, and until then the limit admits fewer.
pub(super) fn forfeited(name: &Name, key: &str, tokens: u64, why: &dyn std::fmt::Display) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: TARGET, limiter = %name, key, tokens, %why, "forfeited");
    #[cfg(not(feature = "tracing"))]
    let _ = (name, key, tokens, why);
}
