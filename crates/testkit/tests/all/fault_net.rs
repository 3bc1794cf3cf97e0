//! Connections in memory take the time they are told, and none is lost.

use proptest::prelude::*;
use std::{
    cell::RefCell,
    future::Future,
    io::ErrorKind,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use tidegate_testkit::{
    FaultIo, FaultPlan, MemConnector, MemListener, MemNet, MemNetError, MemStream, Seed, bubble,
    cancel_everywhere, mem_net, settle,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join, spawn,
    time::{Instant, sleep, timeout},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

async fn connected(ends: &(MemListener, MemConnector)) -> (MemStream, MemStream) {
    let (server, client) = join!(ends.0.accept(), ends.1.connect());
    (server.unwrap(), client.unwrap())
}

pub(crate) fn with_latency(
    to_listener: Duration,
    to_connector: Duration,
) -> (MemListener, MemConnector) {
    MemNet::builder().latency(to_listener, to_connector).build().unwrap()
}

pub(crate) fn is_pending(future: impl Future) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn both_ends_hear_each_other_and_the_end() {
    bubble(async {
        let ends = mem_net();
        let (mut server, mut client) = connected(&ends).await;
        assert_eq!((server.id(), client.id()), (0, 0));
        client.write_all(b"ping").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"ping");
        server.write_all(b"pong").await.unwrap();
        drop(server);
        all.clear();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"pong", "what was written before it was dropped");
        assert_eq!(ends.0.net().connections(), 1);
        drop(client);
        assert_eq!(ends.1.net().connections(), 0);
        assert_eq!(connected(&ends).await.0.id(), 1);
    });
}

#[test]
fn bytes_and_ends_take_the_way_of_their_direction() {
    bubble(async {
        let ends = with_latency(SECOND, SECOND * 2);
        let (mut server, mut client) = connected(&ends).await;
        let begun = Instant::now();
        client.write_all(b"a").await.unwrap();
        server.write_all(b"b").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        server.read_u8().await.unwrap();
        assert_eq!(begun.elapsed(), SECOND);
        client.read_u8().await.unwrap();
        assert_eq!(begun.elapsed(), SECOND * 2);
        client.shutdown().await.unwrap();
        sleep(SECOND / 2).await;
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), SECOND * 3, "the first one counts");
        // The writer hears later that nobody reads.
        drop(server);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), SECOND * 5);
    });
}

#[test]
fn a_writer_hears_after_a_while_that_nobody_reads() {
    bubble(async {
        let (listener, connector) =
            MemNet::builder().buffer(4).latency(SECOND, SECOND * 2).build().unwrap();
        let ends = (listener, connector);
        let (server, mut client) = connected(&ends).await;
        let begun = Instant::now();
        drop(server);
        client.write_all(b"full").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(begun.elapsed(), SECOND * 2);
    });
}

#[test]
fn who_writes_waits_for_room_and_hears_of_the_end() {
    bubble(async {
        let ends = MemNet::builder().buffer(4).build().unwrap();
        let (mut server, mut client) = connected(&ends).await;
        assert_eq!(client.write(b"123456").await.unwrap(), 4);
        assert_eq!(client.write(b"").await.unwrap(), 0);
        let writer = spawn(async move {
            client.write_all(b"56").await.unwrap();
            client.write_all(&[7; 9]).await.unwrap_err().kind()
        });
        settle().await;
        let mut got = [0; 6];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"123456");
        settle().await;
        drop(server);
        assert_eq!(writer.await.unwrap(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_latency_that_is_changed_lets_nothing_overtake() {
    bubble(async {
        let ends = with_latency(SECOND * 10, Duration::ZERO);
        let (mut server, mut client) = connected(&ends).await;
        let begun = Instant::now();
        client.write_all(b"slow ").await.unwrap();
        ends.1.net().set_latency(SECOND, SECOND);
        client.write_all(b"fast").await.unwrap();
        drop(client);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!((all.as_slice(), begun.elapsed()), (&b"slow fast"[..], SECOND * 10));
        // The other way was changed, too.
        let begun = Instant::now();
        let _ends = connected(&ends).await;
        assert_eq!(begun.elapsed(), SECOND * 2);
    });
}

#[test]
fn a_partition_holds_up_what_is_on_its_way_and_loses_nothing() {
    bubble(async {
        let ends = with_latency(SECOND, SECOND);
        let net = ends.0.net();
        let (mut server, mut client) = connected(&ends).await;
        client.write_all(b"on its way").await.unwrap();
        let begun = Instant::now();
        net.partition();
        client.write_all(b", and after").await.unwrap();
        drop(client);
        let reader = spawn(async move {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            all
        });
        sleep(SECOND * 60).await;
        assert!(!reader.is_finished());
        net.heal();
        assert_eq!(reader.await.unwrap(), b"on its way, and after");
        assert_eq!(begun.elapsed(), SECOND * 60, "it would have arrived long ago");
    });
}

#[test]
fn what_is_written_before_a_heal_arrives_no_earlier_than_without() {
    bubble(async {
        let ends = with_latency(SECOND * 10, SECOND);
        let (mut server, mut client) = connected(&ends).await;
        let begun = Instant::now();
        ends.0.net().partition();
        client.write_all(b"x").await.unwrap();
        let reader = spawn(async move { server.read_u8().await.unwrap() });
        sleep(SECOND).await;
        ends.0.net().heal();
        reader.await.unwrap();
        assert_eq!(begun.elapsed(), SECOND * 10);
    });
}

#[test]
fn a_partition_hides_that_nobody_reads() {
    bubble(async {
        let ends = MemNet::builder().buffer(1).build().unwrap();
        let (server, mut client) = connected(&ends).await;
        ends.0.net().partition();
        drop(server);
        client.write_all(b"x").await.unwrap();
        let writer = spawn(async move { client.write(b"y").await.unwrap_err().kind() });
        sleep(SECOND).await;
        assert!(!writer.is_finished());
        ends.0.net().heal();
        assert_eq!(writer.await.unwrap(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn what_no_network_has_is_refused() {
    for backlog in [0, 65_536, usize::MAX] {
        let error = MemNet::builder().backlog(backlog).build().unwrap_err();
        assert_eq!(error, MemNetError::Backlog(backlog));
    }
    assert_eq!(MemNet::builder().buffer(0).build().unwrap_err(), MemNetError::NoBuffer);
    MemNet::builder().backlog(65_535).buffer(usize::MAX).build().unwrap();
}

#[test]
fn reads_and_writes_that_are_dropped_move_nothing() {
    let report = cancel_everywhere(
        || RefCell::new((Vec::new(), Vec::new())),
        async |moved| {
            let ends = MemNet::builder().buffer(2).latency(SECOND, SECOND).build().unwrap();
            let (mut server, mut client) = connected(&ends).await;
            let writing = async {
                for byte in 0..5 {
                    client.write_all(&[byte]).await.unwrap();
                    moved.borrow_mut().0.push(byte);
                }
            };
            let reading = async {
                for _ in 0..5 {
                    // Given up again and again while it is pending.
                    let byte = loop {
                        if let Ok(byte) = timeout(SECOND / 3, server.read_u8()).await {
                            break byte.unwrap();
                        }
                    };
                    moved.borrow_mut().1.push(byte);
                }
            };
            join!(writing, reading);
            assert_eq!(*moved.borrow(), (vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]));
        },
        async |moved, point| {
            let moved = moved.borrow();
            assert!(moved.0.starts_with(&moved.1), "{point}");
        },
    );
    report.assert_covered(15);
}

/// So that a task that always has something to read lets others go on.
#[test]
fn each_operation_takes_a_unit_of_the_budget() {
    let report = cancel_everywhere(
        || (),
        async |()| {
            let (mut server, mut client) = connected(&mem_net()).await;
            for _ in 0..3 {
                client.write_all(b"x").await.unwrap();
                server.read_u8().await.unwrap();
            }
        },
        async |(), _| {},
    );
    assert_eq!(report.operations(), 2 + 2 * 3);
}

#[test]
fn a_network_is_shared_by_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (listener, connector) = MemNet::builder().backlog(2).buffer(3).build().unwrap();
        let clients: Vec<_> = (0..tidegate_testkit::scale(100))
            .map(|n| {
                let connector = connector.clone();
                spawn(async move {
                    let mut stream = connector.connect().await.unwrap();
                    stream.write_u64(n).await.unwrap();
                    stream.read_u64().await.unwrap()
                })
            })
            .collect();
        let flapping = spawn({
            let net = connector.net().clone();
            async move {
                loop {
                    net.partition();
                    tokio::task::yield_now().await;
                    net.heal();
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..clients.len() {
            let mut stream = listener.accept().await.unwrap();
            spawn(async move {
                let n = stream.read_u64().await.unwrap();
                stream.write_u64(n + 1).await.unwrap();
            });
        }
        for (n, client) in clients.into_iter().enumerate() {
            assert_eq!(client.await.unwrap(), n as u64 + 1);
        }
        flapping.abort();
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 4 } else { 128 },
        ..ProptestConfig::default()
    })]

    /// Whatever the network does, and with faults at both ends.
    #[test]
    fn what_is_written_is_what_is_read(
        bytes in proptest::collection::vec(any::<u8>(), 1..200),
        buffer in 1_usize..32,
        events in proptest::collection::vec((any::<bool>(), 0_u64..400, 0_u64..400), 0..12),
        seed: u64,
    ) {
        bubble(async {
            let ends = MemNet::builder().buffer(buffer).build().unwrap();
            let net = ends.0.net().clone();
            let (server, client) = connected(&ends).await;
            let plan = FaultPlan::seeded(Seed::new(seed)).short_reads(0.3).short_writes(0.3);
            let plan = plan.pending(0.2).build().unwrap();
            let mut server = FaultIo::new(server, plan.stream(0));
            let mut client = FaultIo::new(client, plan.stream(1));
            let weather = async {
                for (cut, there, wait) in events {
                    let latency = Duration::from_millis(there);
                    net.set_latency(latency, latency);
                    if cut { net.partition() } else { net.heal() }
                    sleep(Duration::from_millis(wait)).await;
                }
                net.heal();
            };
            let writing = async {
                client.write_all(&bytes).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let mut read = Vec::new();
            join!(weather, writing, async { server.read_to_end(&mut read).await.unwrap() });
            assert_eq!(read, bytes);
        });
    }
}
