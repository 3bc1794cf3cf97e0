//! Bugs of tasks and futures.

mod buffered_semaphore;
mod lost_in_transit;
mod recursive_read;

use crate::specimen::Specimen;

/// All of them.
pub(crate) const ALL: &[Specimen] =
    &[recursive_read::SPECIMEN, lost_in_transit::SPECIMEN, buffered_semaphore::SPECIMEN];
