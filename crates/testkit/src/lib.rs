#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod leak;
mod rng;
mod seed;
mod stress;

pub use self::leak::{Leak, LeakGuard, LeakedFd, LeakedThread};
pub use self::rng::Rng;
pub use self::seed::{ParseSeedError, Seed, scale};
pub use self::stress::{Ctx, Stress, StressFailure, StressReport};
