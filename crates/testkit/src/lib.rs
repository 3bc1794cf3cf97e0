#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod attribute;
mod bubble;
mod cancel;
mod clock;
pub mod conformance;
mod coop;
mod fault;
mod history;
mod leak;
mod linear;
pub mod models;
mod payload;
mod repro;
mod rng;
mod seed;
mod stress;

#[doc(hidden)]
pub use self::attribute::run as __run_test;
pub use self::bubble::{
    Bubble, BubbleBuilder, BubbleConfigError, Failure, FailureKind, Mode, advance,
    advance_to_next_timer, bubble, settle,
};
pub use self::cancel::{CancelPoint, CancelReport, cancel_everywhere, counted};
pub use self::fault::{
    FaultIo, FaultLog, FaultPlan, FaultPlanBuilder, FaultPlanError, Faults, Flaky, FlakyCounts,
    FlakyError, FlakyPlan, FlakyPlanBuilder, MemConnector, MemListener, MemNet, MemNetBuilder,
    MemNetError, MemStream, flaky, mem_net,
};
pub use self::history::{Call, Client, History, Operation};
pub use self::leak::{Leak, LeakGuard, LeakedFd, LeakedThread};
pub use self::linear::{Model, Verdict, Witness, check_linearizable, check_linearizable_within};
pub use self::rng::Rng;
pub use self::seed::{ParseSeedError, Seed, scale};
pub use self::stress::{Ctx, Stress, StressFailure, StressReport};
pub use tidegate_testkit_macros::test;
