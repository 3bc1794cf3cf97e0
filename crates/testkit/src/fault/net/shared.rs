//! The state of a network, and those who wait for it.

use super::{
    pipe::{Progress, Wakers},
    state::{End, Net},
};
use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};
use tokio::{
    io::ReadBuf,
    sync::{Notify, Semaphore},
    time::{Instant, sleep},
};

#[derive(Debug)]
pub(super) struct Shared {
    net: Mutex<Net>,
    /// Places in the line to be accepted; closed when the listener is dropped.
    pub(super) room: Semaphore,
    /// Connections in that line.
    pub(super) arrived: Semaphore,
    healed: Notify,
}

impl Shared {
    pub(super) fn new(net: Net, backlog: usize) -> Self {
        Self {
            net: Mutex::new(net),
            room: Semaphore::new(backlog),
            arrived: Semaphore::new(0),
            healed: Notify::new(),
        }
    }

    pub(super) fn net(&self) -> MutexGuard<'_, Net> {
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a word travel from one end to the other. One that is on its way when the network is
    /// partitioned is held up, too.
    pub(super) async fn travel(&self, from: End) {
        let latency = self.net().latency(from);
        if !latency.is_zero() {
            sleep(latency).await;
        }
        loop {
            // Asked for before it looks: it hears of a heal in between.
            let healed = self.healed.notified();
            if !self.net().is_partitioned {
                return;
            }
            healed.await;
        }
    }

    pub(super) fn heal(&self) {
        let mut wakers = Wakers::default();
        self.net().heal(&mut wakers);
        wakers.wake();
        self.healed.notify_waiters();
    }

    pub(super) fn read(&self, at: (u64, End), waker: &Waker, out: &mut ReadBuf<'_>) -> Progress {
        let mut wakers = Wakers::of(waker);
        let progress = self.net().read(at, Instant::now(), &mut wakers, out);
        wakers.wake();
        progress
    }

    pub(super) fn write(
        &self,
        at: (u64, End),
        waker: &Waker,
        bytes: &[u8],
    ) -> io::Result<Progress> {
        let mut wakers = Wakers::of(waker);
        let progress = self.net().write(at, Instant::now(), &mut wakers, bytes);
        wakers.wake();
        progress
    }

    pub(super) fn shut_down(&self, at: (u64, End)) {
        let mut wakers = Wakers::default();
        self.net().shut_down(at, Instant::now(), &mut wakers);
        wakers.wake();
    }

    pub(super) fn close(&self, at: (u64, End)) {
        let mut wakers = Wakers::default();
        let rest = self.net().close(at, Instant::now(), &mut wakers);
        drop(rest);
        wakers.wake();
    }

    /// Nobody accepts any more: those in the line are closed, others refused.
    pub(super) fn stop_listening(&self) {
        let mut net = self.net();
        net.is_listening = false;
        let left = std::mem::take(&mut net.queue);
        drop(net);
        for id in left {
            self.close((id, End::Listener));
        }
        self.room.close();
    }
}
