//! Hears signals on a thread of its own, so that a program whose workers all hang can still be
//! asked what they do, and ends when it is told to.
//!
//! SIGUSR1 and SIGQUIT ask for a picture of what runs. A signal that ends the program is heard by
//! the program, too; the thread only sees to it that it does end: when the stages that are left
//! have had their time and the program is still there, it hangs, and the thread ends the process.

use super::{
    pictures::Pictures,
    signals::{Received, Signals},
    stages::Times,
};
use crate::{
    inspect::Snapshot,
    observe,
    say::{Saying, say_line},
    sync::Arc,
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    process,
    sync::mpsc::{SyncSender, sync_channel},
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

/// How long after its time a program that was told to end may take before it is held to hang.
const SLACK: Duration = Duration::from_secs(1);

/// Attends to the signals until it is dropped. The thread runs no foreign code itself, so that it
/// can always be joined.
pub(super) struct Attendant {
    end: Option<oneshot::Sender<()>>,
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
        let attendant = Self { end: Some(end), thread: Some(thread) };
        told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))?;
        Ok(attendant)
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        drop(self.end.take());
        // It runs nothing that panics.
        let _ = self.thread.take().map(JoinHandle::join);
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
    let mut bites = None;
    let mut pictures = Pictures::new(on_dump);
    loop {
        match heard.next(bites.map(|(at, _)| at)).await {
            What::Ended => break,
            What::Dump => pictures.ask(),
            // Further signals are the program's to count: it may have heard two as one.
            What::End(received) => {
                bites = bites.or_else(|| Some((late(times, Instant::now())?, received.number)));
            }
            What::Late => {
                let Some((_, signal)) = bites else { continue };
                last_words(signal, on_dump);
                if heard.has_ended() {
                    break;
                }
                end_process(signal);
            }
        }
    }
    pictures.wait();
}

/// When a program that was told to end now has had the time of all its stages; never, if that is
/// further away than the clock reaches.
fn late(Times { drain, grace, abort }: Times, now: Instant) -> Option<Instant> {
    let times = [grace, abort, SLACK].into_iter().fold(drain, Duration::saturating_add);
    now.checked_add(times)
}

/// Says what hangs.
fn last_words(signal: i32, on_dump: &OnDump) {
    let on_dump = Arc::clone(on_dump);
    let saying = Saying::begin(move || {
        on_dump(&Snapshot::take());
        observe::hangs(signal);
    });
    if let Some(saying) = saying {
        saying.wait();
    }
    say_line(format!("hangs after signal {signal}: the process is ended"));
}

/// What is done at the exit of a process, such as flushing stdout, may hang in its turn.
fn end_process(signal: i32) -> ! {
    let exit = Saying::begin(move || process::exit(128 + (signal & 0x7f)));
    if let Some(exit) = exit {
        exit.wait();
    }
    process::abort()
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

    /// Whether the program has ended meanwhile.
    fn has_ended(&mut self) -> bool {
        !matches!(self.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_late_when_all_stages_have_had_their_time() {
        let secs = Duration::from_secs;
        let now = Instant::now();
        let times = Times { drain: secs(20), grace: secs(5), abort: secs(1) };
        assert_eq!(late(times, now), Some(now + secs(27)));
        let never = Times { drain: Duration::MAX, grace: Duration::MAX, abort: secs(1) };
        assert_eq!(late(never, now), None);
    }
}
