//! Hears signals on a thread of its own, so that a program whose workers all hang can still be
//! asked what they do, and ends when it is told to.
//!
//! SIGUSR1 and SIGQUIT ask for a picture of what runs. A signal that ends the program is heard by
//! the program, too; the thread only sees to it that it does end: when the stages that are left
//! have had their time and the program is still there, it hangs, and the thread ends the process.

use super::{
    signals::{Received, Signals},
    stages::Times,
};
use crate::{inspect::Snapshot, observe, panic::quietly, sync::Arc};
use std::{
    future::{Future, poll_fn},
    io::{self, Write as _},
    pin::{Pin, pin},
    process,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    task::Poll,
    thread::{Builder, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// What is done with a picture.
pub(super) type OnDump = Arc<dyn Fn(&Snapshot) + Send + Sync>;

/// How long a program that ends waits for a picture that is being written: whoever should read it
/// may have stopped reading.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long after its time a program that was told to end may take before it is held to hang.
const SLACK: Duration = Duration::from_secs(1);

/// Attends to the signals until it is dropped.
pub(super) struct Attendant {
    end: Option<oneshot::Sender<()>>,
    told: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Attendant {
    /// Starts the thread, and returns when it listens.
    ///
    /// # Errors
    ///
    /// There is no thread, or it cannot listen.
    pub(super) fn start(times: Times, on_dump: OnDump) -> io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let (tell, told) = sync_channel(1);
        let thread = Builder::new()
            .name("tidegate-signals".into())
            .spawn(move || listen(&tell, ended, times, &on_dump))?;
        let attendant = Self { end: Some(end), told, thread: Some(thread) };
        attendant.told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))?;
        Ok(attendant)
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        drop(self.end.take());
        // The thread says no more, but its end hangs up.
        let is_busy = matches!(self.told.recv_timeout(PATIENCE), Err(RecvTimeoutError::Timeout));
        if let Some(thread) = self.thread.take().filter(|_| !is_busy) {
            // It catches what panics in it.
            let _ = thread.join();
        }
    }
}

fn listen(
    tell: &SyncSender<io::Result<()>>,
    ended: oneshot::Receiver<()>,
    times: Times,
    on_dump: &OnDump,
) {
    let begun = runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        let inside = runtime.enter();
        let [usr1, quit] = [SignalKind::user_defined1(), SignalKind::quit()].map(signal);
        let heard = Heard { ended, dump: [usr1?, quit?], end: Signals::install()? };
        drop(inside);
        Ok((runtime, heard))
    });
    match begun {
        Ok((runtime, heard)) => {
            let _ = tell.send(Ok(()));
            runtime.block_on(attend(heard, times, on_dump));
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    }
}

async fn attend(mut heard: Heard, times: Times, on_dump: &OnDump) {
    let mut watchdog = Watchdog { times, signals: 0, bites: None };
    loop {
        match heard.next(watchdog.bites.map(|(at, _)| at)).await {
            What::Ended => return,
            What::Dump => drop(quietly(|| on_dump(&Snapshot::take()))),
            What::End(received) => watchdog.hear(&received, Instant::now()),
            What::Late => {
                let Some((_, signal)) = watchdog.bites else { continue };
                last_words(signal, on_dump);
                process::exit(128 + (signal & 0x7f));
            }
        }
    }
}

/// What the thread waits for.
struct Heard {
    ended: oneshot::Receiver<()>,
    dump: [Signal; 2],
    end: Signals,
}

enum What {
    Ended,
    Dump,
    End(Received),
    Late,
}

impl Heard {
    async fn next(&mut self, late: Option<Instant>) -> What {
        let mut late = pin!(async {
            match late {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|cx| {
            if Pin::new(&mut self.ended).poll(cx).is_ready() {
                return Poll::Ready(What::Ended);
            }
            if let Poll::Ready(received) = self.end.poll(cx) {
                return Poll::Ready(What::End(received));
            }
            // Each is polled, so that each leaves its waker.
            if self.dump.each_mut().map(|signal| signal.poll_recv(cx).is_ready()).contains(&true) {
                return Poll::Ready(What::Dump);
            }
            late.as_mut().poll(cx).map(|()| What::Late)
        })
        .await
    }
}

/// When the process is ended, by whichever signal came first. A further signal leaves less time,
/// as it skips a stage.
struct Watchdog {
    times: Times,
    signals: u32,
    bites: Option<(Instant, i32)>,
}

impl Watchdog {
    fn hear(&mut self, received: &Received, now: Instant) {
        let Times { drain, grace, abort } = self.times;
        let ending = grace.saturating_add(abort);
        let left = match (self.signals, drain.is_zero()) {
            (0, _) => drain.saturating_add(ending),
            (1, false) => ending,
            _ => Duration::ZERO,
        };
        self.signals = self.signals.saturating_add(1);
        let at = now.checked_add(left.saturating_add(SLACK));
        let signal = self.bites.map_or(received.number, |(_, signal)| signal);
        let sooner = self.bites.iter().map(|(at, _)| *at).chain(at).min();
        self.bites = sooner.map(|at| (at, signal));
    }
}

/// Says what hangs, on a thread of its own: nobody may read it.
fn last_words(signal: i32, on_dump: &OnDump) {
    let (said, heard) = sync_channel::<()>(0);
    let on_dump = Arc::clone(on_dump);
    let speaker = Builder::new().name("tidegate-last-words".into()).spawn(move || {
        quietly(|| on_dump(&Snapshot::take()));
        let _ = writeln!(io::stderr(), "hangs after signal {signal}: the process is ended");
        observe::hangs(signal);
        drop(said);
    });
    if speaker.is_ok() {
        let _ = heard.recv_timeout(PATIENCE);
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn bites(drain: u64, signals: &[(u64, i32)]) -> Option<(u64, i32)> {
        let times = Times { drain: secs(drain), grace: secs(5), abort: secs(1) };
        let mut watchdog = Watchdog { times, signals: 0, bites: None };
        let begun = Instant::now();
        for &(at, number) in signals {
            watchdog.hear(&Received { name: "a signal", number }, begun + secs(at));
        }
        watchdog.bites.map(|(at, signal)| ((at - begun).as_secs(), signal))
    }

    #[test]
    fn each_signal_leaves_the_time_of_the_stages_after_it() {
        assert_eq!(bites(20, &[]), None);
        assert_eq!(bites(20, &[(0, 15)]), Some((27, 15)));
        assert_eq!(bites(20, &[(0, 15), (3, 2)]), Some((10, 15)), "the first one decides");
        assert_eq!(bites(20, &[(0, 15), (3, 2), (4, 2)]), Some((5, 15)));
        assert_eq!(bites(0, &[(0, 2)]), Some((7, 2)));
        assert_eq!(bites(0, &[(0, 2), (1, 2)]), Some((2, 2)));
        assert_eq!(bites(20, &[(0, 15), (26, 2)]), Some((27, 15)), "no more than there was");
    }

    #[test]
    fn who_may_take_for_ever_is_never_held_to_hang() {
        let times = Times { drain: Duration::MAX, grace: Duration::MAX, abort: secs(1) };
        let mut watchdog = Watchdog { times, signals: 0, bites: None };
        watchdog.hear(&Received { name: "SIGTERM", number: 15 }, Instant::now());
        assert_eq!(watchdog.bites, None);
    }
}
