//! Bugs of threads.

mod ab_ba;
mod double_release;
mod double_unlock;
mod early_disconnect;
mod early_publish;
mod free_list_aba;
mod lost_update;
mod permit_overdraft;
mod resurrection;
mod ring_overrun;
mod sample_and_reset;
mod second_init;
mod second_insert;
mod slept_through;
mod stale_handle;
mod torn_pair;
mod unlocked_notify;
mod upgrade_deadlock;
mod wait_without_loop;
mod waiter_underflow;

use crate::specimen::Specimen;

/// All of them.
pub(crate) const ALL: &[Specimen] = &[
    lost_update::SPECIMEN,
    sample_and_reset::SPECIMEN,
    torn_pair::SPECIMEN,
    early_publish::SPECIMEN,
    second_init::SPECIMEN,
    second_insert::SPECIMEN,
    permit_overdraft::SPECIMEN,
    double_release::SPECIMEN,
    double_unlock::SPECIMEN,
    waiter_underflow::SPECIMEN,
    stale_handle::SPECIMEN,
    resurrection::SPECIMEN,
    free_list_aba::SPECIMEN,
    ring_overrun::SPECIMEN,
    early_disconnect::SPECIMEN,
    wait_without_loop::SPECIMEN,
    unlocked_notify::SPECIMEN,
    slept_through::SPECIMEN,
    ab_ba::SPECIMEN,
    upgrade_deadlock::SPECIMEN,
];
