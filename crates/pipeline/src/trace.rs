//! Events on state changes, target `tidegate::pipeline`; nothing without the feature.

use crate::{ItemError, stats::Stats};
use std::fmt::Display;
use tidegate_core::Name;

/// An item has failed.
pub(crate) fn item_failed<E: Display>(error: &ItemError<E>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "tidegate::pipeline",
        stage = %error.stage(),
        item = error.seq(),
        "item failed: {error}"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// A run has ended.
pub(crate) fn ended(name: &Name, stats: &Stats, reason: Option<&dyn Display>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "tidegate::pipeline",
        pipeline = %name,
        delivered = stats.delivered(),
        failed = stats.failed(),
        cancelled = stats.cancelled(),
        reason = reason.map(tracing::field::display),
        "pipeline ended"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (name, stats, reason);
}
