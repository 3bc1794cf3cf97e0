//! The signals that ask a program to end.

use std::{
    io,
    task::{Context, Poll},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that asks the program to end.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) name: &'static str,
    pub(super) number: i32,
}

pub(super) struct Signals([(&'static str, SignalKind, Signal); 2]);

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// The system's, if there can be no handler.
    pub(super) fn install() -> io::Result<Self> {
        let listen = |name, kind| Ok::<_, io::Error>((name, kind, signal(kind)?));
        let int = listen("SIGINT", SignalKind::interrupt())?;
        Ok(Self([int, listen("SIGTERM", SignalKind::terminate())?]))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        for (name, kind, signal) in &mut self.0 {
            if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                return Poll::Ready(Received { name, number: kind.as_raw_value() });
            }
        }
        Poll::Pending
    }
}
