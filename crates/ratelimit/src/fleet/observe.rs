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
