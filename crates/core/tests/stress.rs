//! Storms on real runtimes and random trees: run for longer by `cargo xtask stress`, which builds them
//! without the other tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "all/caught.rs"]
mod caught;
#[path = "stress/model/mod.rs"]
mod model;
#[path = "stress/scopes.rs"]
mod scopes;
#[path = "stress/supervisors.rs"]
mod supervisors;

use tidegate_testkit::{Disturbed, Seed, disturb};

/// Disturbs all threads, at each lock and atomic of the crate where the build has points there.
fn disturbed() -> Disturbed {
    #[cfg(tidegate_stress)]
    tidegate_core::sync::inject::with(tidegate_testkit::point_at);
    disturb(Seed::from_env_or_new("disturbed"))
}
