//! The decisions, without I/O and without a clock: times are nanoseconds that come in as arguments.

pub(crate) mod adaptive;
mod classes;
mod codel;
mod line;
mod pace;
mod queue;
// An interpreter has no time for lists of operations, and nothing there is unsafe.
#[cfg(all(test, not(any(miri, tidegate_loom))))]
mod queue_oracle;
#[cfg(all(test, not(any(miri, tidegate_loom))))]
mod queue_tests;
mod word;

pub(crate) use self::{
    classes::Classes,
    codel::Codel,
    pace::Pace,
    queue::{Asked, Joined, Place, Queue, Rules, Settled, time_of},
    word::{Count, Taken, Word},
};
