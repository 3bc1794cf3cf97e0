//! The decisions of a fleet limiter, without I/O, clocks, locks and tasks.

mod account;
mod health;
mod keys;
mod quota;
#[cfg(all(test, not(tidegate_loom)))]
mod tests;
mod verdict;

#[cfg(all(test, not(tidegate_loom)))]
pub(crate) use self::health::TRIED;
pub use self::quota::{StoreQuota, Tat};
pub(crate) use self::{
    account::{Account, Next, PROBE, Pace, Rules},
    health::{Delays, Health, Turn},
    keys::Keys,
    verdict::{Fail, Form, Mode, Now, Origin, Step, Tally},
};
