//! Bugs of tasks and futures.

mod beyond_capacity;
mod biased_stop;
mod blocking_at_the_end;
mod blocking_call;
mod blocking_lock_over_await;
mod buffer_of_none;
mod buffered_semaphore;
mod busy_watch;
mod cancelled_head;
mod channel_cycle;
mod detached_panic;
mod error_path_fd;
mod futurelock;
mod idle_reservation;
mod in_flight;
mod interrupted_write;
mod interval_burst;
mod lagged_is_closed;
mod last_receiver;
mod last_sender;
mod late_arrivals;
mod lock_order;
mod lost_in_transit;
mod lost_probe;
mod missed_notify;
mod nested_jobs;
mod one_wakeup;
mod orphaned_reader;
mod panic_keeps_connection;
mod pending_requests;
mod pool_cancelled_waiter;
mod read_exact_in_select;
mod recursive_read;
mod retry_for_ever;
mod short_read;
mod short_write;
mod shutdown_of_itself;
mod stale_waker;
mod swallowed_deadline;
mod timer_after_stop;
mod try_join_all;
mod two_limits;
mod unpolled_guard;
mod watch_borrow;
mod write_all_timeout;

use crate::specimen::Specimen;

/// All of them.
pub(crate) const ALL: &[Specimen] = &[
    beyond_capacity::SPECIMEN,
    biased_stop::SPECIMEN,
    blocking_at_the_end::SPECIMEN,
    blocking_call::SPECIMEN,
    blocking_lock_over_await::SPECIMEN,
    buffer_of_none::SPECIMEN,
    buffered_semaphore::SPECIMEN,
    busy_watch::SPECIMEN,
    cancelled_head::SPECIMEN,
    channel_cycle::SPECIMEN,
    detached_panic::SPECIMEN,
    error_path_fd::SPECIMEN,
    futurelock::SPECIMEN,
    idle_reservation::SPECIMEN,
    in_flight::SPECIMEN,
    interrupted_write::SPECIMEN,
    interval_burst::SPECIMEN,
    lagged_is_closed::SPECIMEN,
    last_receiver::SPECIMEN,
    last_sender::SPECIMEN,
    late_arrivals::SPECIMEN,
    lock_order::SPECIMEN,
    lost_in_transit::SPECIMEN,
    lost_probe::SPECIMEN,
    missed_notify::SPECIMEN,
    nested_jobs::SPECIMEN,
    one_wakeup::SPECIMEN,
    orphaned_reader::SPECIMEN,
    panic_keeps_connection::SPECIMEN,
    pending_requests::SPECIMEN,
    pool_cancelled_waiter::SPECIMEN,
    read_exact_in_select::SPECIMEN,
    recursive_read::SPECIMEN,
    retry_for_ever::SPECIMEN,
    short_read::SPECIMEN,
    short_write::SPECIMEN,
    shutdown_of_itself::SPECIMEN,
    stale_waker::SPECIMEN,
    swallowed_deadline::SPECIMEN,
    timer_after_stop::SPECIMEN,
    try_join_all::SPECIMEN,
    two_limits::SPECIMEN,
    unpolled_guard::SPECIMEN,
    watch_borrow::SPECIMEN,
    write_all_timeout::SPECIMEN,
];
