//! The bugs of tasks of which shuttle can run the scenario: channels and locks, no time,
//! no `broadcast`, which shuttle-tokio lacks, and no result that hangs on tokio's order.

#[path = "tasks/beyond_capacity.rs"]
mod beyond_capacity;
#[path = "tasks/buffer_of_none.rs"]
mod buffer_of_none;
#[path = "tasks/buffered_semaphore.rs"]
mod buffered_semaphore;
#[path = "tasks/channel_cycle.rs"]
mod channel_cycle;
#[path = "tasks/detached_panic.rs"]
mod detached_panic;
#[path = "tasks/idle_reservation.rs"]
mod idle_reservation;
#[path = "tasks/last_receiver.rs"]
mod last_receiver;
#[path = "tasks/last_sender.rs"]
mod last_sender;
#[path = "tasks/late_arrivals.rs"]
mod late_arrivals;
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
#[path = "tasks/shutdown_of_itself.rs"]
mod shutdown_of_itself;
#[path = "tasks/stale_waker.rs"]
mod stale_waker;
#[path = "tasks/try_join_all.rs"]
mod try_join_all;
#[path = "tasks/watch_borrow.rs"]
mod watch_borrow;

use crate::specimen::Specimen;

/// All of them.
pub(crate) const ALL: &[Specimen] = &[
    beyond_capacity::SPECIMEN,
    buffer_of_none::SPECIMEN,
    buffered_semaphore::SPECIMEN,
    channel_cycle::SPECIMEN,
    detached_panic::SPECIMEN,
    idle_reservation::SPECIMEN,
    last_receiver::SPECIMEN,
    last_sender::SPECIMEN,
    late_arrivals::SPECIMEN,
    lock_order::SPECIMEN,
    missed_notify::SPECIMEN,
    nested_jobs::SPECIMEN,
    one_wakeup::SPECIMEN,
    recursive_read::SPECIMEN,
    shutdown_of_itself::SPECIMEN,
    stale_waker::SPECIMEN,
    try_join_all::SPECIMEN,
    watch_borrow::SPECIMEN,
];
