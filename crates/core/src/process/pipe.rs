//! The ends of pipes that the caller has.

use super::line::{Line, Splitter};
use crate::{CancelToken, CancelledOwned};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
    sync::oneshot,
};

/// How much of a stream is read at a time.
const CHUNK: usize = 8 << 10;

/// An output of a process, read by the caller: `AsyncRead`, or [lines](Self::lines).
///
/// It comes straight from the pipe, so a slow reader slows the process down. It ends when nobody
/// can write any more, or [`wait_delay`](super::Proc::wait_delay) after the process itself has ended,
/// with what was written until then. Dropping it closes the pipe: the process gets
/// SIGPIPE when it writes next.
#[must_use = "the process is blocked when the pipe is full"]
pub struct OutputPipe {
    /// None, when it has come to its end.
    open: Option<Open>,
    over: CancelToken,
    has_become_over: CancelledOwned,
    /// How many bytes there are, if the process has ended and the pipe has not.
    rest: Option<u64>,
}

struct Open {
    pipe: pipe::Receiver,
    /// Dropped with the pipe, which tells the driver.
    _told: oneshot::Sender<()>,
}

impl OutputPipe {
    pub(super) fn new(pipe: pipe::Receiver, told: oneshot::Sender<()>, over: &CancelToken) -> Self {
        let has_become_over = over.cancelled_owned();
        let open = Some(Open { pipe, _told: told });
        Self { open, over: over.clone(), has_become_over, rest: None }
    }

    /// The output as lines of up to `max` bytes; one that is longer comes in
    /// [pieces](Line::continues). More than a line and 8 KiB is never kept.
    #[must_use = "the process is blocked when the pipe is full"]
    pub fn lines(self, max: usize) -> Lines {
        Lines { pipe: self, splitter: Splitter::new(max), chunk: vec![0; CHUNK].into() }
    }

    /// Reads and throws away, to the end.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; CHUNK];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                self.open = None;
                return Poll::Ready(());
            }
        }
    }
}

impl AsyncRead for OutputPipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(open) = &mut this.open else { return Poll::Ready(Ok(())) };
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.rest.is_none() && this.over.is_cancelled() {
                this.rest = Some(rustix::io::ioctl_fionread(&open.pipe)?);
            }
            if let Some(rest) = &mut this.rest {
                let read = take_rest(&open.pipe, rest, buffer);
                if matches!(read, Ok(0) | Err(_)) {
                    this.open = None;
                }
                return Poll::Ready(read.map(drop));
            }
            let before = buffer.filled().len();
            match Pin::new(&mut open.pipe).poll_read(cx, buffer) {
                Poll::Ready(read) => {
                    if read.is_err() || buffer.filled().len() == before {
                        this.open = None;
                    }
                    return Poll::Ready(read);
                }
                Poll::Pending => ready!(Pin::new(&mut this.has_become_over).poll(cx)),
            };
        }
    }
}

/// Reads a part of the `rest` that is in the pipe, whether or not the runtime has heard of it.
fn take_rest(pipe: &pipe::Receiver, rest: &mut u64, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
    let mut bytes = [0; CHUNK];
    let room = buffer.remaining().min(CHUNK);
    let room = usize::try_from(*rest).map_or(room, |rest| rest.min(room));
    let read = match rustix::io::read(pipe, &mut bytes[..room]) {
        Ok(read) => read,
        // There is less than it said.
        Err(rustix::io::Errno::AGAIN) => 0,
        Err(error) => return Err(error.into()),
    };
    buffer.put_slice(&bytes[..read]);
    *rest -= read as u64;
    Ok(read)
}

impl fmt::Debug for OutputPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputPipe").field("ended", &self.open.is_none()).finish_non_exhaustive()
    }
}

/// The lines of an output; made by [`OutputPipe::lines`].
#[must_use = "the process is blocked when the pipe is full"]
pub struct Lines {
    pipe: OutputPipe,
    splitter: Splitter,
    chunk: Box<[u8]>,
}

impl Lines {
    /// The next line; none at the end.
    ///
    /// # Errors
    ///
    /// If the system cannot read from the pipe.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was read of a line is kept for the next call. Tested by
    /// `a_wait_for_a_line_that_is_dropped_loses_nothing`.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.splitter.next() {
                return Ok(Some(line));
            }
            let read = std::future::poll_fn(|cx| {
                let mut buffer = ReadBuf::new(&mut self.chunk);
                let read = ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut buffer));
                Poll::Ready(read.map(|()| buffer.filled().len()))
            });
            match read.await? {
                0 => return Ok(self.splitter.finish()),
                read => self.splitter.add(&self.chunk[..read]),
            }
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("pipe", &self.pipe).finish_non_exhaustive()
    }
}

/// The input of a process, written by the caller: `AsyncWrite`. Dropping it, or
/// `poll_shutdown`, closes it.
///
/// When the process has ended, and its tree was killed, writing fails with `BrokenPipe`.
#[must_use = "the process sees the end of its input when it is dropped"]
pub struct InputPipe {
    pipe: Option<pipe::Sender>,
    over: CancelledOwned,
}

impl InputPipe {
    pub(super) fn new(pipe: pipe::Sender, over: &CancelToken) -> Self {
        Self { pipe: Some(pipe), over: over.cancelled_owned() }
    }
}

impl AsyncWrite for InputPipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(pipe) = &mut this.pipe else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let written = Pin::new(pipe).poll_write(cx, bytes);
        // Whoever holds the other end has left the tree, and need not read.
        if written.is_pending() && Pin::new(&mut this.over).poll(cx).is_ready() {
            this.pipe = None;
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().pipe = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for InputPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputPipe").field("closed", &self.pipe.is_none()).finish_non_exhaustive()
    }
}
