//! Hears when a child ends, and leaves it unreaped.

use super::tree::{Alive, look};
use rustix::process::Pid;
use std::{
    io,
    os::fd::OwnedFd,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
};

/// Waits for the end of one child.
#[derive(Debug)]
pub(super) struct Exit {
    pid: Pid,
    ear: Ear,
}

#[derive(Debug)]
enum Ear {
    /// A descriptor that is readable when the child has ended.
    Pidfd(AsyncFd<Arc<OwnedFd>>),
    /// SIGCHLD, where there are no such descriptors: it comes for every child.
    Signal(Signal),
}

impl Exit {
    pub(super) fn of(pid: Pid, pidfd: Option<Arc<OwnedFd>>) -> io::Result<Self> {
        let ear = match pidfd {
            #[expect(
                deprecated,
                reason = "the other one is unsafe, because a type may answer with a descriptor \
                          that is not open any more; an `OwnedFd` cannot"
            )]
            Some(fd) => Ear::Pidfd(AsyncFd::with_interest(fd, Interest::READABLE)?),
            None => Ear::Signal(signal(SignalKind::child())?),
        };
        Ok(Self { pid, ear })
    }

    /// Whether the child has ended.
    ///
    /// # Errors
    ///
    /// If it is not a child any more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match look(self.pid) {
                Alive::Running => {}
                Alive::Ended => return Poll::Ready(Ok(())),
                Alive::Lost => return Poll::Ready(Err(rustix::io::Errno::CHILD.into())),
            }
            // Registers the waker; what came since the look above makes it look again.
            match &mut self.ear {
                Ear::Pidfd(fd) => match ready!(fd.poll_read_ready(cx)) {
                    Ok(mut guard) if look(self.pid) == Alive::Running => guard.clear_ready(),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                },
                Ear::Signal(signal) => {
                    ready!(signal.poll_recv(cx));
                }
            }
        }
    }
}

#[cfg(all(test, not(any(miri, tidegate_loom))))]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        process::{Command, Stdio},
    };

    /// As on a system without descriptors for processes.
    #[tokio::test]
    async fn an_end_is_heard_by_its_signal_alone() {
        let mut other = Command::new("true").spawn().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut exit = Exit::of(Pid::from_child(&child), None).unwrap();
        // The end of another child is none of this one.
        other.wait().unwrap();
        poll_fn(|cx| {
            assert!(exit.poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(child.stdin.take());
        poll_fn(|cx| exit.poll(cx)).await.unwrap();
        assert!(child.try_wait().unwrap().unwrap().success(), "it is not reaped");
        assert!(poll_fn(|cx| exit.poll(cx)).await.is_err(), "it is no child any more");
    }
}
