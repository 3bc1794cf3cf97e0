//! The I/O with the faults in it.

use super::{
    counts::{FaultLog, Faults},
    injector::{Direction, Injector, Stop},
    plan::FaultPlan,
    script::Passage,
};
use pin_project_lite::pin_project;
use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pin_project! {
    /// Another I/O, with the faults of a [`FaultPlan`].
    ///
    /// It loses no bytes and adds none: what is written is what is read, unless the plan flips
    /// bits, ends, breaks or resets it. The same seed gives the same faults for the same sequence
    /// of operations, each direction for itself, however often their tasks are polled.
    ///
    /// Operations without bytes (an empty buffer, flush and shutdown) go through, but for `pending`
    /// and a reset. Vectored writes write the first of their buffers that
    /// is not empty.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    /// use tidegate_testkit::{FaultIo, FaultPlan, Seed, bubble};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    /// use tokio::time::{Instant, timeout};
    ///
    /// let plan = FaultPlan::seeded(Seed::new(1))
    ///     .short_reads(0.5)
    ///     .stall_reading_at(5, Duration::from_secs(60))
    ///     .reset_after_reading(8)
    ///     .build()
    ///     .unwrap();
    /// # #[cfg(not(miri))]
    /// bubble(async {
    ///     let (mut client, server) = duplex(64);
    ///     client.write_all(b"hello world").await.unwrap();
    ///     let mut server = FaultIo::new(server, plan);
    ///
    ///     let mut hello = [0; 5];
    ///     server.read_exact(&mut hello).await.unwrap();
    ///     assert_eq!(&hello, b"hello");
    ///     // The sixth byte takes a minute, of the virtual clock.
    ///     let begun = Instant::now();
    ///     assert!(timeout(Duration::from_secs(30), server.read_u8()).await.is_err());
    ///     assert_eq!(server.read_u8().await.unwrap(), b' ');
    ///     assert_eq!(begun.elapsed(), Duration::from_secs(60));
    ///     // The ninth never comes.
    ///     let rest = server.read_to_end(&mut Vec::new()).await;
    ///     assert_eq!(rest.unwrap_err().kind(), ErrorKind::ConnectionReset);
    ///     assert_eq!((server.faults().stalls, server.faults().resets), (1, 1));
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// A stall panics outside a runtime with a clock.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the I/O below: a read or write that is dropped while it is pending has
    /// moved nothing, and the next one goes on where it was, in the middle of a stall too. Tested
    /// by `a_reader_that_is_dropped_loses_no_byte` and
    /// `a_stall_that_is_given_up_goes_on_where_it_was`.
    #[derive(Debug)]
    pub struct FaultIo<T> {
        #[pin]
        inner: T,
        injector: Injector,
    }
}

impl<T> FaultIo<T> {
    /// `inner`, with the faults of `plan`.
    pub fn new(inner: T, plan: FaultPlan) -> Self {
        Self { inner, injector: Injector::new(plan) }
    }

    /// What was injected so far.
    pub fn faults(&self) -> Faults {
        self.injector.log.faults()
    }

    /// Tells that also after this is given away.
    pub fn log(&self) -> FaultLog {
        self.injector.log.clone()
    }

    /// The I/O below.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The I/O below. What is read or written there has no faults, and is not counted.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The I/O below, pinned.
    #[must_use]
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().inner
    }

    /// The I/O below, without faults. Nothing is held back that it would miss.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Reads at most so much, and counts what is filled.
fn poll_part<T: AsyncRead>(
    inner: Pin<&mut T>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    passage: Passage,
) -> Poll<io::Result<(usize, bool)>> {
    // It is initialised, as a part of a buffer that is not cannot be handed on without `unsafe`.
    let mut part = ReadBuf::new(buf.initialize_unfilled_to(passage.limit));
    ready!(inner.poll_read(cx, &mut part))?;
    let filled = part.filled_mut();
    let flip = passage.flip(filled.len());
    if let Some((byte, mask)) = flip {
        filled[byte] ^= mask;
    }
    let len = filled.len();
    buf.advance(len);
    Poll::Ready(Ok((len, flip.is_some())))
}

impl<T: AsyncRead> AsyncRead for FaultIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let injector = this.injector;
        if buf.remaining() == 0 {
            injector.check_reset()?;
            return this.inner.poll_read(cx, buf);
        }
        let passage = match ready!(injector.poll_pass(Direction::Read, cx, buf.remaining())) {
            Ok(passage) => passage,
            Err(Stop::End) => return Poll::Ready(Ok(())),
            Err(Stop::Error(kind)) => return Poll::Ready(Err(kind.into())),
        };
        match ready!(poll_part(this.inner, cx, buf, passage)) {
            Ok((len, is_flipped)) => {
                injector.log.note(|faults| faults.flipped_bits += u64::from(is_flipped));
                injector.passed(Direction::Read, passage, len);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                injector.failed(Direction::Read);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T: AsyncWrite> AsyncWrite for FaultIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let injector = this.injector;
        if buf.is_empty() {
            injector.check_reset()?;
            return this.inner.poll_write(cx, buf);
        }
        let passage = match ready!(injector.poll_pass(Direction::Write, cx, buf.len())) {
            Ok(passage) => passage,
            Err(Stop::End) => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            Err(Stop::Error(kind)) => return Poll::Ready(Err(kind.into())),
        };
        let part = &buf[..passage.limit];
        let flip = passage.flip(part.len());
        let result = match flip {
            None => ready!(this.inner.poll_write(cx, part)),
            Some((byte, mask)) => {
                let mut changed = part.to_vec();
                changed[byte] ^= mask;
                ready!(this.inner.poll_write(cx, &changed))
            }
        };
        match result {
            Ok(len) => {
                let is_flipped = flip.is_some_and(|(byte, _)| byte < len);
                injector.log.note(|faults| faults.flipped_bits += u64::from(is_flipped));
                injector.passed(Direction::Write, passage, len);
                Poll::Ready(Ok(len))
            }
            Err(error) => {
                injector.failed(Direction::Write);
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        ready!(this.injector.poll_control(cx))?;
        let result = ready!(this.inner.poll_flush(cx));
        this.injector.controlled();
        Poll::Ready(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        ready!(this.injector.poll_control(cx))?;
        let result = ready!(this.inner.poll_shutdown(cx));
        this.injector.controlled();
        Poll::Ready(result)
    }
}
