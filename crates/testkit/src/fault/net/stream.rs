//! One end of a connection.

use super::{pipe::Progress, shared::Shared, state::End};
use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop::{poll_proceed, unconstrained},
    time::{Instant, Sleep, sleep_until},
};

/// One end of a connection in memory, as a `TcpStream` is one of a real one.
///
/// What is written arrives after the latency of its way, and in its order; so does the end, after
/// a shutdown or when the stream is dropped. When the other end is dropped, what it has written
/// can still be read, and writes fail with [`BrokenPipe`](io::ErrorKind::BrokenPipe) as soon as
/// that has travelled. The buffer of one way counts bytes until they are read. During a
/// [partition](super::MemNet::partition) nothing arrives.
///
/// # Panics
///
/// Waiting for bytes on their way panics outside a runtime with a clock.
///
/// # Cancel safety
///
/// Cancel safe: a read or write that is dropped while it is pending has moved nothing. Tested by
/// `reads_and_writes_that_are_dropped_move_nothing`.
#[derive(Debug)]
pub struct MemStream {
    shared: Arc<Shared>,
    at: (u64, End),
    read: Alarm,
    write: Alarm,
}

/// Wakes when bytes, or news, arrive.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll_at(&mut self, cx: &mut Context<'_>, moment: Instant) -> Poll<()> {
        // One that is left from an operation that was dropped is for an earlier moment: it is over
        // at once then, and it is looked again.
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        // It is a part of the operation, which has its unit of the budget already. One that needs
        // two would never get through where there is one.
        ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}

impl MemStream {
    pub(super) fn new(shared: Arc<Shared>, at: (u64, End)) -> Self {
        Self { shared, at, read: Alarm::default(), write: Alarm::default() }
    }

    /// The number of the connection in its network, from 0: the same at both ends.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.at.0
    }
}

impl AsyncRead for MemStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unit = ready!(poll_proceed(cx));
        loop {
            match self.shared.read(self.at, cx.waker(), buf) {
                Progress::Moved(_) => break,
                Progress::At(moment) => ready!(self.read.poll_at(cx, moment)),
                Progress::Woken => return Poll::Pending,
            }
        }
        unit.made_progress();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let unit = ready!(poll_proceed(cx));
        let result = loop {
            match self.shared.write(self.at, cx.waker(), buf) {
                Ok(Progress::Moved(bytes)) => break Ok(bytes),
                Ok(Progress::At(moment)) => ready!(self.write.poll_at(cx, moment)),
                Ok(Progress::Woken) => return Poll::Pending,
                Err(error) => break Err(error),
            }
        };
        unit.made_progress();
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.shut_down(self.at);
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemStream {
    fn drop(&mut self) {
        self.shared.close(self.at);
    }
}
