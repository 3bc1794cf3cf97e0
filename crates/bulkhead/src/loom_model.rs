//! What the models of this crate have in common.

use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_core::sync::Arc;

/// Checks every interleaving, of which there are to be many.
pub(crate) fn model(name: &str, check: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    loom::model(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        check();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("loom-executions: {name} {executions}");
    // Most of it is behind one lock, and has few orders.
    assert!(executions > 50, "{name}: {executions} executions explore little");
}
