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
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
use crate::{race::Race as _, race::on_threads::Hunt};

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

/// All whose threads end, bug or not.
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
pub const HUNTS: &[Hunt] = &[
    lost_update::LostUpdate::HUNT,
    sample_and_reset::SampleAndReset::HUNT,
    torn_pair::TornPair::HUNT,
    early_publish::EarlyPublish::HUNT,
    second_init::SecondInit::HUNT,
    second_insert::SecondInsert::HUNT,
    permit_overdraft::PermitOverdraft::HUNT,
    double_release::DoubleRelease::HUNT,
    double_unlock::DoubleUnlock::HUNT,
    waiter_underflow::WaiterUnderflow::HUNT,
    stale_handle::StaleHandle::HUNT,
    resurrection::Resurrection::HUNT,
    free_list_aba::FreeListAba::HUNT,
    ring_overrun::RingOverrun::HUNT,
    early_disconnect::EarlyDisconnect::HUNT,
    wait_without_loop::WaitWithoutLoop::HUNT,
];
