#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod attribute;
mod bubble;
mod cancel;
mod clock;
pub mod conformance;
mod coop;
mod explore;
mod fault;
mod history;
mod leak;
mod linear;
pub mod models;
mod payload;
#[cfg(unix)]
mod redis;
mod repro;
mod rng;
mod seed;
mod stress;
mod tell;

#[doc(hidden)]
pub use self::attribute::{explore as __explore_test, run as __run_test};
pub use self::bubble::{
    Bubble, BubbleBuilder, BubbleConfigError, Failure, FailureKind, Mode, advance,
    advance_to_next_timer, bubble, perturbed, settle,
};
pub use self::cancel::{CancelPoint, CancelReport, cancel_everywhere, counted};
pub use self::explore::{ExploreReport, Outcome, Perturbed, Seeds, explore};
pub use self::fault::{
    FaultIo, FaultLog, FaultPlan, FaultPlanBuilder, FaultPlanError, Faults, Flaky, FlakyCounts,
    FlakyError, FlakyPlan, FlakyPlanBuilder, FlakyResponse, FlakyService, JumpyClock,
    JumpyClockBuilder, MemConnector, MemListener, MemNet, MemNetBuilder, MemNetError, MemStream,
    ServiceCounts, flaky, mem_net,
};
pub use self::history::{Call, Client, History, Operation};
pub use self::leak::{Leak, LeakGuard, LeakedChild, LeakedFd, LeakedThread};
pub use self::linear::{Model, Verdict, Witness, check_linearizable, check_linearizable_within};
#[cfg(unix)]
pub use self::redis::{RedisServer, RedisServerError};
pub use self::rng::Rng;
pub use self::seed::{ParseSeedError, Seed, scale};
pub use self::stress::{
    Ctx, Disturbed, Stress, StressFailure, StressReport, disturb, point_at, point_here,
};
pub use tidegate_testkit_macros::test;
