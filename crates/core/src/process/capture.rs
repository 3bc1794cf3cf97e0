//! Keeps the begin of an output, and reads it to its end.

use super::output::Captured;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::unix::pipe,
};

/// How much is read at a time: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// An output that is read into memory.
#[derive(Debug)]
pub(super) struct Capture {
    /// None, when it has come to its end.
    pipe: Option<pipe::Receiver>,
    max: usize,
    captured: Captured,
    chunk: Box<[u8]>,
    /// Reading failed, which is its end, too.
    pub(super) error: Option<io::Error>,
}

impl Capture {
    pub(super) fn new(pipe: pipe::Receiver, max: usize) -> Self {
        let chunk = vec![0; CHUNK].into();
        Self { pipe: Some(pipe), max, captured: Captured::default(), chunk, error: None }
    }

    /// Reads what there is, until there is no more for now.
    ///
    /// Ready at the end, and when it has become more than the bound: it is polled on after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(pipe) = &mut self.pipe {
            let mut buffer = ReadBuf::new(&mut self.chunk);
            let read = ready!(Pin::new(pipe).poll_read(cx, &mut buffer));
            let bytes = buffer.filled();
            if read.is_err() || bytes.is_empty() {
                self.error = read.err();
                self.close();
                return Poll::Ready(());
            }
            let had_room = self.captured.dropped == 0;
            self.captured.add(bytes, self.max);
            if had_room && self.captured.dropped > 0 {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }

    /// Reads what is in the pipe now, whether or not the runtime has heard of it, and gives it up.
    pub(super) fn finish(&mut self) {
        if let Some(pipe) = &self.pipe {
            let mut rest = rustix::io::ioctl_fionread(pipe).unwrap_or(0);
            // Once more than that, to see the end; whoever writes without one is left then.
            loop {
                match rustix::io::read(pipe, &mut *self.chunk) {
                    Ok(0) => break self.close(),
                    Ok(read) => {
                        self.captured.add(&self.chunk[..read], self.max);
                        match rest.checked_sub(read as u64) {
                            Some(left) => rest = left,
                            None => break,
                        }
                    }
                    Err(_) => break,
                }
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    pub(super) fn is_beyond(&self) -> bool {
        self.captured.dropped > 0
    }

    fn close(&mut self) {
        self.pipe = None;
        self.chunk = Box::default();
    }

    pub(super) fn into_captured(self) -> Captured {
        self.captured
    }
}

impl Captured {
    /// Keeps it, up to `max` in all.
    fn add(&mut self, bytes: &[u8], max: usize) {
        let kept = bytes.len().min(max - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.dropped += (bytes.len() - kept) as u64;
    }
}

/// Bytes that are written to an input.
#[derive(Debug)]
pub(super) struct Feed {
    pipe: pipe::Sender,
    bytes: std::sync::Arc<[u8]>,
    at: usize,
}

impl Feed {
    pub(super) fn new(pipe: pipe::Sender, bytes: std::sync::Arc<[u8]>) -> Self {
        Self { pipe, bytes, at: 0 }
    }

    /// Ready when all is written, or nobody reads any more; it is to be dropped then, so that
    /// the reader sees the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.at < self.bytes.len() {
            let written = ready!(Pin::new(&mut self.pipe).poll_write(cx, &self.bytes[self.at..]));
            match written {
                Ok(written @ 1..) => self.at += written,
                // A process need not read what it is given.
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}

#[cfg(all(test, not(any(miri, tidegate_loom))))]
mod tests {
    use super::*;

    /// It is in the pipe, and the runtime has not heard of it.
    #[tokio::test]
    async fn what_is_in_the_pipe_at_the_end_is_not_lost() {
        for is_held in [true, false] {
            let (writer, reader) = pipe::pipe().unwrap();
            assert_eq!(rustix::io::write(&writer, &[7; 1000]).unwrap(), 1000);
            let held = is_held.then_some(writer);
            let mut capture = Capture::new(reader, 600);
            capture.finish();
            assert_eq!(capture.is_open(), is_held);
            drop(held);
            let captured = capture.into_captured();
            assert_eq!((captured.bytes.as_slice(), captured.dropped), (&[7; 600][..], 400));
        }
    }
}
