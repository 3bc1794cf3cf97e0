//! Layers that are in a wrong order, by the names of their types.

use std::any::type_name;

/// What has to stand outside of a breaker, and what the breaker would make of it.
const MISPLACED: &[(&str, &str)] = &[
    (
        "tower::retry::Retry<",
        "a retry inside of a breaker: all attempts count as one call, and their pauses as slowness",
    ),
    (
        "tower::buffer::",
        "a buffer inside of a breaker: the time in it counts as slowness of the callee",
    ),
    (
        "tidegate_bulkhead::layer::mode::Wait<",
        "a bulkhead that waits inside of a breaker: waiting counts as slowness, being turned away as failure",
    ),
    (
        "tidegate_ratelimit::layer::mode::Wait<",
        "a limiter that waits inside of a breaker: waiting counts as slowness, being turned away as failure",
    ),
];

/// What of the service `S` has to stand outside of a breaker around it, if there is anything: for an assertion in
/// a test. In builds with debug assertions, a [`BreakerLayer`](crate::BreakerLayer) warns of it when it is put
/// around a service; it costs nothing in others, and nothing for a call in any.
///
/// It goes by the names of types: what is boxed is not seen.
///
/// ```
/// use tidegate_breaker::layer::misplaced;
/// use tower::{buffer::Buffer, util::BoxService};
///
/// type Boxed = BoxService<(), (), std::io::Error>;
/// type Buffered = Buffer<(), <Boxed as tower::Service<()>>::Future>;
/// assert!(misplaced::<Buffered>().unwrap().starts_with("a buffer inside of a breaker"));
/// assert_eq!(misplaced::<Boxed>(), None);
/// ```
#[must_use]
pub fn misplaced<S>() -> Option<&'static str> {
    let inner = type_name::<S>();
    MISPLACED.iter().find(|(name, _)| inner.contains(name)).map(|(_, what)| *what)
}

/// Warns of what is misplaced.
#[cfg(all(debug_assertions, feature = "tracing"))]
pub(super) fn warn<S>(breaker: &dyn std::fmt::Debug) {
    if let Some(what) = misplaced::<S>() {
        tracing::warn!(target: "tidegate::breaker", ?breaker, "{what}");
    }
}
