//! Bugs of threads.

mod lost_update;

use crate::specimen::Specimen;

/// All of them.
pub(crate) const ALL: &[Specimen] = &[lost_update::SPECIMEN];
