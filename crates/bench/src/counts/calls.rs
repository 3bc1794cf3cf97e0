//! Calls through the layers of breakers and bulkheads.

#[allow(dead_code, reason = "what is measured is more than what is counted")]
#[path = "../breaker/services.rs"]
mod breakers;
#[allow(dead_code, reason = "what is measured is more than what is counted")]
#[path = "../bulkhead/services.rs"]
mod bulkheads;

use crate::echo::{Echo, call};
use std::any::Any;
use tower_service::Service;

const OF: breakers::Of = breakers::Of::Results(breakers::RESULTS);

fn all(mut service: impl Service<u64, Response = u64>, times: u64) -> Box<dyn Any> {
    assert_eq!(call(&mut service, times), times);
    Box::new(())
}

pub(crate) fn breaker_ours(times: u64) -> Box<dyn Any> {
    all(breakers::ours(OF, Echo), times)
}

pub(crate) fn breaker_tower_resilience(times: u64) -> Box<dyn Any> {
    all(breakers::tower_resilience(OF, Echo), times)
}

pub(crate) fn bulkhead_ours(times: u64) -> Box<dyn Any> {
    all(bulkheads::wait(), times)
}

pub(crate) fn bulkhead_tower(times: u64) -> Box<dyn Any> {
    all(bulkheads::concurrency_limit(), times)
}

pub(crate) fn bulkhead_tower_resilience(times: u64) -> Box<dyn Any> {
    all(bulkheads::tower_resilience(), times)
}
