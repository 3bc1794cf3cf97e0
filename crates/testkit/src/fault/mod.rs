//! I/O and operations that are slow or broken in a way that a seed chooses.
//!
//! | part | what it is |
//! |---|---|
//! | [`plan`] | which faults there are to be, checked before there is any I/O |
//! | [`script`] | what becomes of one operation after the other: a state machine without I/O |
//! | [`injector`] | the waits and wake-ups around two such scripts |
//! | [`io`] | the I/O with the faults in it |
//! | [`flaky`](mod@flaky) | any operation, in the place of I/O |
//! | [`service`] | the same for a service of tower |
//! | [`clock`] | a clock that jumps |
//! | [`net`] | connections in memory that take their time |

mod clock;
mod counts;
mod flaky;
mod injector;
mod io;
mod net;
mod plan;
mod probability;
mod script;
mod service;

pub use self::clock::{JumpyClock, JumpyClockBuilder};
pub use self::counts::{FaultLog, Faults};
pub use self::flaky::{Flaky, FlakyCounts, FlakyError, FlakyPlan, FlakyPlanBuilder, flaky};
pub use self::io::FaultIo;
pub use self::net::{
    MemConnector, MemListener, MemNet, MemNetBuilder, MemNetError, MemStream, mem_net,
};
pub use self::plan::{FaultPlan, FaultPlanBuilder};
pub use self::probability::FaultPlanError;
pub use self::service::{FlakyResponse, FlakyService, ServiceCounts};
