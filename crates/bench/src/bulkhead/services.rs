//! A service with bulkheads around it, which both programs measure.

use crate::echo::Echo;
use tidegate_bulkhead::{Bulkhead, BulkheadLayer};
use tower::limit::ConcurrencyLimitLayer;
use tower_layer::Layer;
use tower_service::Service;

/// How many calls may be in progress.
pub(crate) const ROOM: u32 = 64;

fn bulkhead() -> Bulkhead {
    Bulkhead::builder(ROOM).build().unwrap()
}

pub(crate) fn reject() -> impl Service<u64, Response = u64> + Clone + Sync {
    BulkheadLayer::reject(bulkhead()).layer(Echo)
}

pub(crate) fn wait() -> impl Service<u64, Response = u64> + Clone + Sync {
    BulkheadLayer::wait(bulkhead()).layer(Echo)
}

pub(crate) fn readiness() -> impl Service<u64, Response = u64> + Clone + Sync {
    BulkheadLayer::readiness(bulkhead()).layer(Echo)
}

pub(crate) fn concurrency_limit() -> impl Service<u64, Response = u64> + Clone + Sync {
    ConcurrencyLimitLayer::new(ROOM as usize).layer(Echo)
}

pub(crate) fn tower_resilience() -> impl Service<u64, Response = u64> + Clone + Sync {
    let builder = tower_resilience_bulkhead::BulkheadLayer::builder();
    builder.max_concurrent_calls(ROOM as usize).build().unwrap().layer(Echo)
}
