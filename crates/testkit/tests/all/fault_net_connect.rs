//! How connections come about: who waits, who is refused, and who gives up.

use crate::fault_net::{SECOND, is_pending, with_latency};
use std::{cell::RefCell, io::ErrorKind, time::Duration};
use tidegate_testkit::{MemNet, bubble, cancel_everywhere, mem_net, settle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join, spawn,
    time::{Instant, sleep, sleep_until},
};

#[test]
fn a_connect_takes_the_way_there_and_back() {
    bubble(async {
        let (listener, connector) = with_latency(SECOND, SECOND * 2);
        let begun = Instant::now();
        let connecting = async {
            connector.connect().await.unwrap();
            begun.elapsed()
        };
        let accepting = async {
            listener.accept().await.unwrap();
            begun.elapsed()
        };
        assert_eq!(join!(connecting, accepting), (SECOND * 3, SECOND * 3));
    });
}

#[test]
fn a_connect_waits_for_a_heal_on_each_way() {
    for cut in [0, 1_500] {
        bubble(async {
            let (listener, connector) = with_latency(SECOND, SECOND);
            let begun = Instant::now();
            let connecting = spawn({
                let connector = connector.clone();
                async move { connector.connect().await.unwrap().id() }
            });
            sleep(Duration::from_millis(cut)).await;
            connector.net().partition();
            sleep_until(begun + SECOND * 60).await;
            assert!(!connecting.is_finished() && is_pending(listener.accept()));
            assert_eq!(connector.net().queued(), 0);
            connector.net().heal();
            assert_eq!(listener.accept().await.unwrap().id(), connecting.await.unwrap());
            let after = if cut == 0 { SECOND } else { Duration::ZERO };
            assert_eq!(begun.elapsed(), SECOND * 60 + after);
        });
    }
}

#[test]
fn a_full_backlog_lets_connects_wait_in_their_order() {
    bubble(async {
        let (listener, connector) = MemNet::builder().backlog(2).build().unwrap();
        let (first, second) = join!(connector.connect(), connector.connect());
        let ids = [first.unwrap().id(), second.unwrap().id()];
        assert_eq!((ids, connector.net().queued()), ([0, 1], 2));
        let third = spawn({
            let connector = connector.clone();
            async move { connector.connect().await.unwrap() }
        });
        settle().await;
        assert!(!third.is_finished());
        assert_eq!(listener.accept().await.unwrap().id(), 0);
        settle().await;
        assert!(third.is_finished());
        assert_eq!(connector.net().queued(), 2);
        for id in [1, 2] {
            assert_eq!(listener.accept().await.unwrap().id(), id);
        }
    });
}

#[test]
fn who_refuses_does_so_when_the_word_has_come_and_gone() {
    bubble(async {
        let (listener, connector) = with_latency(SECOND, SECOND);
        connector.net().set_refusing(true);
        let begun = Instant::now();
        let error = connector.connect().await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::ConnectionRefused, SECOND * 2));
        connector.net().set_refusing(false);
        drop(connector.connect().await.unwrap());
        drop(listener);
        let error = connector.connect().await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::ConnectionRefused, SECOND * 6));
    });
}

#[test]
fn a_listener_that_is_dropped_refuses_who_waits_and_closes_who_is_in_line() {
    bubble(async {
        let (listener, connector) = MemNet::builder().backlog(1).build().unwrap();
        let mut in_line = connector.connect().await.unwrap();
        let waiting = spawn({
            let connector = connector.clone();
            async move { connector.connect().await.unwrap_err().kind() }
        });
        settle().await;
        drop(listener);
        assert_eq!(waiting.await.unwrap(), ErrorKind::ConnectionRefused);
        assert_eq!(in_line.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(in_line.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!((connector.net().queued(), connector.net().connections()), (0, 1));
        // One that is dropped while the answer is on its way.
        let (listener, connector) = with_latency(SECOND, SECOND);
        let connecting = spawn(async move { connector.connect().await.unwrap_err().kind() });
        sleep(SECOND * 3 / 2).await;
        drop(listener);
        assert_eq!(connecting.await.unwrap(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_accept_that_fails_leaves_its_connection_in_line() {
    bubble(async {
        let (listener, connector) = mem_net();
        listener.net().fail_accept(ErrorKind::OutOfMemory);
        listener.net().fail_accept(ErrorKind::ConnectionAborted);
        assert!(is_pending(listener.accept()), "it fails with a connection only");
        drop(connector.connect().await.unwrap());
        for kind in [ErrorKind::OutOfMemory, ErrorKind::ConnectionAborted] {
            assert_eq!(listener.accept().await.unwrap_err().kind(), kind);
        }
        assert_eq!(listener.accept().await.unwrap().id(), 0);
    });
}

/// Clients that come one after the other, and are all served, whoever is dropped.
#[test]
fn an_accept_that_is_dropped_loses_no_connection() {
    let report = cancel_everywhere(
        || {
            let ends = MemNet::builder().backlog(2).build().unwrap();
            (ends, RefCell::new(Vec::new()))
        },
        async |((listener, connector), accepted)| {
            let connecting = async {
                for _ in 0..4 {
                    drop(connector.connect().await.unwrap());
                }
            };
            let accepting = async {
                for _ in 0..4 {
                    let stream = listener.accept().await.unwrap();
                    accepted.borrow_mut().push(stream.id());
                }
            };
            join!(accepting, connecting);
        },
        async |((listener, connector), accepted), point| {
            // What is in line can be accepted, and nothing else is left.
            while listener.net().queued() > 0 {
                let stream = listener.accept().await.unwrap();
                accepted.borrow_mut().push(stream.id());
            }
            let accepted = accepted.take();
            assert!(accepted.iter().copied().eq(0..accepted.len() as u64), "{point}");
            assert_eq!(listener.net().connections(), 0, "{point}");
            // All places of the backlog are there.
            let (one, two) = (connector.connect().await, connector.connect().await);
            assert!(one.is_ok() && two.is_ok() && is_pending(connector.connect()), "{point}");
        },
    );
    report.assert_covered(8);
}

#[test]
fn a_connect_that_is_dropped_leaves_nothing() {
    let report = cancel_everywhere(
        || {
            let latency = SECOND;
            let ends = MemNet::builder().backlog(1).latency(latency, latency).build().unwrap();
            ends.0.net().partition();
            ends
        },
        async |(listener, connector)| {
            let healing = async {
                sleep(SECOND * 5).await;
                listener.net().heal();
            };
            let (stream, ()) = join!(connector.connect(), healing);
            stream.unwrap()
        },
        async |(listener, connector), point| {
            listener.net().heal();
            assert_eq!((listener.net().queued(), listener.net().connections()), (0, 0), "{point}");
            let stream = connector.connect().await.unwrap();
            assert_eq!(listener.accept().await.unwrap().id(), stream.id(), "{point}");
        },
    );
    report.assert_covered(5);
}
