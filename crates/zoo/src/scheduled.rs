//! The bugs of tasks of which shuttle can run the scenario: channels and locks, no time.

#[path = "tasks/beyond_capacity.rs"]
mod beyond_capacity;
#[path = "tasks/buffered_semaphore.rs"]
mod buffered_semaphore;
#[path = "tasks/channel_cycle.rs"]
mod channel_cycle;
#[path = "tasks/last_receiver.rs"]
mod last_receiver;
#[path = "tasks/lock_order.rs"]
mod lock_order;
#[path = "tasks/missed_notify.rs"]
mod missed_notify;
#[path = "tasks/nested_jobs.rs"]
mod nested_jobs;
#[path = "tasks/one_wakeup.rs"]
mod one_wakeup;
#[path = "tasks/recursive_read.rs"]
mod recursive_read;

use crate::specimen::Specimen;

/// All of them.
pub(crate) const ALL: &[Specimen] = &[
    beyond_capacity::SPECIMEN,
    buffered_semaphore::SPECIMEN,
    channel_cycle::SPECIMEN,
    last_receiver::SPECIMEN,
    lock_order::SPECIMEN,
    missed_notify::SPECIMEN,
    nested_jobs::SPECIMEN,
    one_wakeup::SPECIMEN,
    recursive_read::SPECIMEN,
];
