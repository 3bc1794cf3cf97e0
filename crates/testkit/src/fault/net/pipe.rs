//! The bytes on their way from one end of a connection to the other.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    task::Waker,
};
use tokio::{io::ReadBuf, time::Instant};

/// One way of a connection. It knows no clock: a moment of `None` is one at which nothing arrives
/// whatever the time, as everything is held up.
#[derive(Debug)]
pub(super) struct Pipe {
    capacity: usize,
    bytes: VecDeque<u8>,
    /// How many of the bytes arrive when. The first come first, also if a latency that became
    /// shorter would let others be there before them.
    arrivals: VecDeque<(Instant, usize)>,
    /// When the reader hears that no more is written.
    end: Option<Instant>,
    /// When the writer hears that nobody reads any more.
    refusal: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How far an operation has got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is over; so many bytes were moved.
    Moved(usize),
    /// It can go on at that moment, if nothing wakes it before.
    At(Instant),
    /// It can go on when it is woken.
    Woken,
}

/// Wakers to be woken, or dropped, when nothing is locked any more.
#[derive(Debug, Default)]
#[must_use = "somebody is to be woken"]
pub(super) struct Wakers {
    /// That of who asks, cloned before anything was locked.
    own: Option<Waker>,
    wake: Vec<Waker>,
    replaced: Option<Waker>,
}

impl Wakers {
    pub(super) fn of(waker: &Waker) -> Self {
        Self { own: Some(waker.clone()), ..Self::default() }
    }

    /// Leaves the own waker where it is waited.
    fn wait(&mut self, place: &mut Option<Waker>) {
        self.replaced = std::mem::replace(place, self.own.take());
    }

    pub(super) fn wake(self) {
        self.wake.into_iter().for_each(Waker::wake);
    }
}

fn has_come(moment: Option<Instant>, at: Instant) -> bool {
    moment.is_some_and(|now| at <= now)
}

/// What to wait for.
fn until(moment: Option<Instant>, at: Instant) -> Progress {
    if moment.is_some() { Progress::At(at) } else { Progress::Woken }
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            bytes: VecDeque::new(),
            arrivals: VecDeque::new(),
            end: None,
            refusal: None,
            reader: None,
            writer: None,
        }
    }

    pub(super) fn read(
        &mut self,
        moment: Option<Instant>,
        wakers: &mut Wakers,
        out: &mut ReadBuf<'_>,
    ) -> Progress {
        if out.remaining() == 0 {
            return Progress::Moved(0);
        }
        let moved = self.take_arrived(moment, out);
        // Bytes that have come are taken: if something has, it is the end.
        let next = self.arrivals.front().map(|(at, _)| *at).or(self.end);
        let progress = match next {
            _ if moved > 0 => Progress::Moved(moved),
            Some(at) if has_come(moment, at) => Progress::Moved(0),
            Some(at) => until(moment, at),
            None => Progress::Woken,
        };
        match progress {
            Progress::Moved(_) => wakers.wake.extend(self.writer.take()),
            _ => wakers.wait(&mut self.reader),
        }
        progress
    }

    fn take_arrived(&mut self, moment: Option<Instant>, out: &mut ReadBuf<'_>) -> usize {
        let mut moved = 0;
        while let Some((at, len)) = self.arrivals.front_mut() {
            if !has_come(moment, *at) || out.remaining() == 0 {
                break;
            }
            let part = out.remaining().min(*len);
            let (front, back) = self.bytes.as_slices();
            let in_front = part.min(front.len());
            out.put_slice(&front[..in_front]);
            out.put_slice(&back[..part - in_front]);
            self.bytes.drain(..part);
            moved += part;
            *len -= part;
            if *len == 0 {
                self.arrivals.pop_front();
            }
        }
        moved
    }

    /// # Errors
    ///
    /// `BrokenPipe`, after the writer's own end, or when it has heard that nobody reads.
    pub(super) fn write(
        &mut self,
        moment: Option<Instant>,
        arrives: Instant,
        wakers: &mut Wakers,
        bytes: &[u8],
    ) -> io::Result<Progress> {
        if self.end.is_some() || self.refusal.is_some_and(|at| has_come(moment, at)) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let part = bytes.len().min(self.capacity - self.bytes.len());
        if part == 0 && !bytes.is_empty() {
            wakers.wait(&mut self.writer);
            return Ok(self.refusal.map_or(Progress::Woken, |at| until(moment, at)));
        }
        if part > 0 {
            self.bytes.extend(&bytes[..part]);
            self.arrivals.push_back((arrives, part));
            wakers.wake.extend(self.reader.take());
        }
        Ok(Progress::Moved(part))
    }

    /// No more is written; the reader hears of it after all bytes.
    pub(super) fn end(&mut self, arrives: Instant, wakers: &mut Wakers) {
        if self.end.is_none() {
            self.end = Some(arrives);
            wakers.wake.extend(self.reader.take());
        }
    }

    /// Nobody reads any more.
    pub(super) fn refuse(&mut self, arrives: Instant, wakers: &mut Wakers) {
        self.refusal.get_or_insert(arrives);
        wakers.wake.extend(self.writer.take());
    }

    /// What is not held up any more may have arrived.
    pub(super) fn release(&mut self, wakers: &mut Wakers) {
        wakers.wake.extend(self.reader.take());
        wakers.wake.extend(self.writer.take());
    }
}
