//! The listener, the connector, and what a test does to the network between them.

use super::{
    shared::Shared,
    state::{End, Net},
    stream::MemStream,
};
use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

/// How many connections wait to be accepted, unless it is told otherwise.
const BACKLOG: usize = 128;

/// More than any listener has.
const MOST_BACKLOG: usize = 65_535;

/// How many bytes are on one way, unless it is told otherwise.
const BUFFER: usize = 64 * 1024;

/// A network in memory with everything as it is by default: see [`MemNet::builder`].
///
/// ```
/// use std::time::Duration;
/// use tidegate_testkit::{bubble, mem_net};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::time::{Instant, timeout};
///
/// # #[cfg(not(miri))]
/// bubble(async {
///     let (listener, connector) = mem_net();
///     let net = connector.net().clone();
///     net.set_latency(Duration::from_millis(20), Duration::from_millis(30));
///
///     let begun = Instant::now();
///     let (client, server) = tokio::join!(connector.connect(), listener.accept());
///     let (mut client, mut server) = (client.unwrap(), server.unwrap());
///     assert_eq!(begun.elapsed(), Duration::from_millis(50), "there and back");
///
///     client.write_all(b"ping").await.unwrap();
///     net.partition();
///     let word = &mut [0; 4];
///     let lost = timeout(Duration::from_secs(60), server.read_exact(word)).await;
///     assert!(lost.is_err(), "held up");
///     net.heal();
///     server.read_exact(word).await.unwrap();
///     assert_eq!(word, b"ping");
/// });
/// ```
#[must_use]
pub fn mem_net() -> (MemListener, MemConnector) {
    make(&MemNet::builder())
}

fn make(builder: &MemNetBuilder) -> (MemListener, MemConnector) {
    let net = Net::new(builder.buffer, builder.latency);
    let net = MemNet(Arc::new(Shared::new(net, builder.backlog)));
    (MemListener { net: net.clone() }, MemConnector { net })
}

/// A network cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemNetError {
    /// No connection could be accepted, or more wait than any listener lets.
    #[error("a backlog of {0} is not within 1 and {MOST_BACKLOG}")]
    Backlog(usize),
    /// No byte could be written.
    #[error("a buffer has at least 1 byte")]
    NoBuffer,
}

/// Makes a network: its listener and its connector.
#[derive(Clone, Debug)]
#[must_use = "a network is made by `build`"]
pub struct MemNetBuilder {
    backlog: usize,
    buffer: usize,
    latency: [Duration; 2],
}

impl MemNetBuilder {
    /// How many connections may wait to be accepted, from 1 to 65 535; 128, by default. Who
    /// connects while there are as many waits for a place.
    pub fn backlog(mut self, connections: usize) -> Self {
        self.backlog = connections;
        self
    }

    /// How many bytes are taken on each way of a connection before they are read; 64 KiB, by
    /// default.
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// How long the way takes, to the listener and back; no time, by default.
    pub fn latency(mut self, to_listener: Duration, to_connector: Duration) -> Self {
        self.latency = [to_listener, to_connector];
        self
    }

    /// Makes the network.
    ///
    /// # Errors
    ///
    /// If the backlog or the buffer is out of its bounds.
    pub fn build(self) -> Result<(MemListener, MemConnector), MemNetError> {
        if !(1..=MOST_BACKLOG).contains(&self.backlog) {
            return Err(MemNetError::Backlog(self.backlog));
        }
        if self.buffer == 0 {
            return Err(MemNetError::NoBuffer);
        }
        Ok(make(&self))
    }
}

/// A network between a [`MemListener`] and its [`MemConnector`]s: what a test does to it.
///
/// Time is that of tokio's clock, whose timers have steps of a millisecond. All its clones are
/// the same network.
#[derive(Clone, Debug)]
pub struct MemNet(Arc<Shared>);

impl MemNet {
    /// One with a backlog of 128 connections, buffers of 64 KiB and no latency.
    pub fn builder() -> MemNetBuilder {
        MemNetBuilder { backlog: BACKLOG, buffer: BUFFER, latency: [Duration::ZERO; 2] }
    }

    /// How long the way takes from now on. What is on its way arrives as it would have, and is
    /// not overtaken.
    pub fn set_latency(&self, to_listener: Duration, to_connector: Duration) {
        let mut net = self.0.net();
        net.set_latency(End::Connector, to_listener);
        net.set_latency(End::Listener, to_connector);
    }

    /// From now on nothing arrives, in either direction: bytes, ends, and connects are held up,
    /// those on their way too. Nothing is lost.
    pub fn partition(&self) {
        self.0.net().is_partitioned = true;
    }

    /// What was held up goes on, and arrives now, or when it would have, whichever is later.
    pub fn heal(&self) {
        self.0.heal();
    }

    /// Whether connects that reach the listener fail with
    /// [`ConnectionRefused`](ErrorKind::ConnectionRefused) from now on. Those that are in the
    /// line to be accepted, or wait for a place in it, stay there.
    pub fn set_refusing(&self, is_refusing: bool) {
        self.0.net().is_refusing = is_refusing;
    }

    /// The next accept that would give a connection fails with `kind` instead, as one does that
    /// has no file descriptor left. The connection stays in the line. It can be called again
    /// for more of them.
    pub fn fail_accept(&self, kind: ErrorKind) {
        self.0.net().accept_errors.push_back(kind);
    }

    /// How many connections wait to be accepted.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.net().queue.len()
    }

    /// How many connections there are of which an end is left, with those that wait to be
    /// accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.net().connections()
    }
}

/// Accepts the connections of its network. When it is dropped, those that wait are closed, and
/// others refused.
#[derive(Debug)]
pub struct MemListener {
    net: MemNet,
}

impl MemListener {
    /// The network.
    #[must_use]
    pub fn net(&self) -> &MemNet {
        &self.net
    }

    /// Waits for the next connection. Several accepts at a time get theirs in their order.
    ///
    /// # Errors
    ///
    /// What [`MemNet::fail_accept`] asks for, and nothing else.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no connection. Tested by
    /// `an_accept_that_is_dropped_loses_no_connection`.
    #[expect(clippy::missing_panics_doc, reason = "there are as many turns as connections in line")]
    pub async fn accept(&self) -> io::Result<MemStream> {
        let shared = &self.net.0;
        // It is closed by nobody.
        let turn = shared.arrived.acquire().await.map_err(io::Error::other)?;
        let mut net = shared.net();
        if let Some(kind) = net.accept_errors.pop_front() {
            return Err(kind.into());
        }
        let id = net.queue.pop_front();
        drop(net);
        turn.forget();
        shared.room.add_permits(1);
        let id = id.expect("there are as many turns as connections in line");
        Ok(MemStream::new(Arc::clone(shared), (id, End::Listener)))
    }
}

impl Drop for MemListener {
    fn drop(&mut self) {
        self.net.0.stop_listening();
    }
}

/// Connects to the [`MemListener`] of its network. All its clones do.
#[derive(Clone, Debug)]
pub struct MemConnector {
    net: MemNet,
}

impl MemConnector {
    /// The network.
    #[must_use]
    pub fn net(&self) -> &MemNet {
        &self.net
    }

    /// Waits for the word to reach the listener, for a place in its backlog, and for the answer.
    /// The connection can be accepted when it is there, not before.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](ErrorKind::ConnectionRefused), if the listener was dropped, or
    /// [refuses](MemNet::set_refusing).
    ///
    /// # Panics
    ///
    /// Outside a runtime with a clock, if there is a latency.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connect that is dropped leaves no connection, but loses its place. Tested by
    /// `a_connect_that_is_dropped_leaves_nothing`.
    pub async fn connect(&self) -> io::Result<MemStream> {
        let shared = &self.net.0;
        shared.travel(End::Connector).await;
        let is_refusing = shared.net().is_refusing;
        // A place that nobody gives is one that is refused.
        let place = if is_refusing { None } else { shared.room.acquire().await.ok() };
        shared.travel(End::Listener).await;
        let place = place.ok_or(ErrorKind::ConnectionRefused)?;
        let id = shared.net().open().ok_or(ErrorKind::ConnectionRefused)?;
        place.forget();
        shared.arrived.add_permits(1);
        Ok(MemStream::new(Arc::clone(shared), (id, End::Connector)))
    }
}
