//! All connections of a network.

use super::pipe::{Pipe, Progress, Wakers};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    time::Duration,
};
use tokio::{io::ReadBuf, time::Instant};

/// Longer than any test, and short enough to be added to any moment.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// An end of a connection, and the way that leads away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Connector,
    Listener,
}

impl End {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Connector => Self::Listener,
            Self::Listener => Self::Connector,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Connector => 0,
            Self::Listener => 1,
        }
    }
}

/// The state of a network.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) is_partitioned: bool,
    pub(super) is_refusing: bool,
    pub(super) is_listening: bool,
    /// Connections that wait to be accepted.
    pub(super) queue: VecDeque<u64>,
    /// What the next accepts fail with.
    pub(super) accept_errors: VecDeque<io::ErrorKind>,
    latency: [Duration; 2],
    buffer: usize,
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
pub(super) struct Connection {
    /// By the end that writes.
    pipes: [Pipe; 2],
    ends: u8,
}

impl Net {
    pub(super) fn new(buffer: usize, latency: [Duration; 2]) -> Self {
        Self {
            is_partitioned: false,
            is_refusing: false,
            is_listening: true,
            queue: VecDeque::new(),
            accept_errors: VecDeque::new(),
            latency,
            buffer,
            connections: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn latency(&self, from: End) -> Duration {
        self.latency[from.index()]
    }

    pub(super) fn set_latency(&mut self, from: End, latency: Duration) {
        self.latency[from.index()] = latency;
    }

    /// When what sets out now arrives.
    fn arrival(&self, from: End, now: Instant) -> Instant {
        now + self.latency(from).min(FAR)
    }

    fn moment(&self, now: Instant) -> Option<Instant> {
        (!self.is_partitioned).then_some(now)
    }

    /// A connection that waits to be accepted; none, if nobody will.
    pub(super) fn open(&mut self) -> Option<u64> {
        if !self.is_listening {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let pipes = [Pipe::new(self.buffer), Pipe::new(self.buffer)];
        self.connections.insert(id, Connection { pipes, ends: 2 });
        self.queue.push_back(id);
        Some(id)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The way that leads away from an end that is still there.
    fn pipe(&mut self, id: u64, from: End) -> &mut Pipe {
        let connection = self.connections.get_mut(&id).expect("it is there while an end of it is");
        &mut connection.pipes[from.index()]
    }

    pub(super) fn read(
        &mut self,
        (id, end): (u64, End),
        now: Instant,
        wakers: &mut Wakers,
        out: &mut ReadBuf<'_>,
    ) -> Progress {
        let moment = self.moment(now);
        self.pipe(id, end.other()).read(moment, wakers, out)
    }

    pub(super) fn write(
        &mut self,
        (id, end): (u64, End),
        now: Instant,
        wakers: &mut Wakers,
        bytes: &[u8],
    ) -> io::Result<Progress> {
        let (moment, arrives) = (self.moment(now), self.arrival(end, now));
        self.pipe(id, end).write(moment, arrives, wakers, bytes)
    }

    pub(super) fn shut_down(&mut self, (id, end): (u64, End), now: Instant, wakers: &mut Wakers) {
        let arrives = self.arrival(end, now);
        self.pipe(id, end).end(arrives, wakers);
    }

    /// An end is dropped; gives what is left of the connection after the second.
    pub(super) fn close(
        &mut self,
        (id, end): (u64, End),
        now: Instant,
        wakers: &mut Wakers,
    ) -> Option<Connection> {
        self.shut_down((id, end), now, wakers);
        let arrives = self.arrival(end, now);
        self.pipe(id, end.other()).refuse(arrives, wakers);
        let connection = self.connections.get_mut(&id)?;
        connection.ends -= 1;
        if connection.ends == 0 { self.connections.remove(&id) } else { None }
    }

    pub(super) fn heal(&mut self, wakers: &mut Wakers) {
        self.is_partitioned = false;
        for connection in self.connections.values_mut() {
            connection.pipes.iter_mut().for_each(|pipe| pipe.release(wakers));
        }
    }
}
