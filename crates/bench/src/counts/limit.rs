//! Calls through the layers of rate limiters.

#[path = "../limit/echo.rs"]
mod echo;

use std::any::Any;

pub(crate) fn layer_ours(times: u64) -> Box<dyn Any> {
    assert_eq!(echo::call(&mut echo::ours(), times), times);
    Box::new(())
}

pub(crate) fn layer_tower_resilience(times: u64) -> Box<dyn Any> {
    assert_eq!(echo::call(&mut echo::tower_resilience(), times), times);
    Box::new(())
}
