//! Faults at a byte: resets, stalls and ends.

use crate::fault_io::{Count, MINUTE, faulty, pair, read_all, read_once, seeded};
use std::{
    cell::RefCell,
    future::poll_fn,
    io::ErrorKind,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_testkit::{FaultIo, bubble, settle};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex, split},
    spawn,
    time::{Instant, timeout},
};

#[test]
fn a_reset_comes_after_its_byte_and_stays() {
    bubble(async {
        let (mut io, mut peer) = pair(seeded(1).reset_after_writing(10));
        peer.write_all(b"unread").await.unwrap();
        assert_eq!(io.write(&[1; 16]).await.unwrap(), 10);
        let kinds = async |io: &mut FaultIo<_>| {
            [
                io.write(b"x").await.unwrap_err().kind(),
                io.write(b"").await.unwrap_err().kind(),
                io.read(&mut [0; 9]).await.unwrap_err().kind(),
                io.read(&mut []).await.unwrap_err().kind(),
                io.flush().await.unwrap_err().kind(),
                io.shutdown().await.unwrap_err().kind(),
            ]
        };
        for _ in 0..2 {
            assert_eq!(kinds(&mut io).await, [ErrorKind::ConnectionReset; 6]);
        }
        let log = io.log();
        drop(io);
        assert_eq!((log.faults().resets, log.faults().total()), (1, 1));
        assert_eq!(read_all(&mut peer, 99).await, [1; 10]);
    });
    for plan in [seeded(1).reset_after_reading(0), seeded(1).reset_after_writing(0)] {
        let mut io = faulty(b"x", plan);
        assert_eq!(read_once(&mut io, 9).0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let io = faulty(b"x", seeded(1).reset_after_reading(0).reset_after_writing(0));
    assert_eq!(io.faults().resets, 1, "it is one connection");
}

/// It waits for bytes that need not come: nobody else wakes it.
#[test]
fn who_waits_hears_of_a_reset_of_the_other_direction() {
    bubble(async {
        let (io, _peer) = pair(seeded(1).reset_after_writing(1));
        let (mut read, mut write) = split(io);
        let reader = spawn(async move { read.read_u8().await.unwrap_err().kind() });
        settle().await;
        write.write_all(b"x").await.unwrap();
        assert_eq!(reader.await.unwrap(), ErrorKind::ConnectionReset);
    });
    bubble(async {
        let (io, mut peer) = duplex(1);
        let plan = seeded(1).stall_writing_at(1, MINUTE).reset_after_reading(1);
        let (mut read, mut write) = split(FaultIo::new(io, plan.build().unwrap()));
        let writer = spawn(async move { write.write_all(b"xy").await.unwrap_err().kind() });
        settle().await;
        peer.write_all(b"x").await.unwrap();
        let begun = Instant::now();
        read.read_u8().await.unwrap();
        assert_eq!(writer.await.unwrap(), ErrorKind::ConnectionReset);
        assert_eq!(begun.elapsed(), Duration::ZERO, "in the middle of a stall");
    });
}

#[test]
fn a_stall_is_at_its_byte_and_takes_its_time() {
    bubble(async {
        let plan = seeded(1)
            .stall_reading_at(4, MINUTE)
            .stall_reading_at(0, MINUTE * 2)
            .stall_reading_at(4, MINUTE * 4);
        let mut io = faulty(b"0123456789", plan);
        let begun = Instant::now();
        let mut part = [0; 10];
        assert_eq!(io.read(&mut part).await.unwrap(), 4);
        assert_eq!(begun.elapsed(), MINUTE * 2);
        assert_eq!(io.read(&mut part).await.unwrap(), 6);
        assert_eq!(begun.elapsed(), MINUTE * (2 + 1 + 4));
        assert_eq!(io.faults().stalls, 3);

        let (mut io, mut peer) = pair(seeded(1).stall_writing_at(2, MINUTE));
        let begun = Instant::now();
        peer.write_all(b"r").await.unwrap();
        io.read_u8().await.unwrap();
        assert_eq!(io.write(b"abcd").await.unwrap(), 2);
        io.flush().await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(io.write(b"cd").await.unwrap(), 2);
        assert_eq!(begun.elapsed(), MINUTE);
    });
}

#[test]
fn a_stall_that_is_given_up_goes_on_where_it_was() {
    bubble(async {
        let mut io = faulty(b"x", seeded(1).stall_reading_at(0, MINUTE));
        let begun = Instant::now();
        for _ in 0..2 {
            assert!(timeout(MINUTE / 3, io.read_u8()).await.is_err());
        }
        io.read_u8().await.unwrap();
        assert_eq!((begun.elapsed(), io.faults().stalls), (MINUTE, 1));
    });
}

#[test]
fn each_half_ends_for_itself() {
    bubble(async {
        let (mut io, mut peer) = pair(seeded(1).end_after_reading(3));
        peer.write_all(b"abcdef").await.unwrap();
        assert_eq!(read_all(&mut io, 9).await, b"abc");
        assert_eq!(io.read(&mut [0; 9]).await.unwrap(), 0, "it stays at its end");
        io.write_all(b"still").await.unwrap();
        assert_eq!((io.faults().ends, io.faults().total()), (1, 1));

        let (mut io, mut peer) = pair(seeded(1).break_after_writing(3));
        let error = io.write_all(b"abcdef").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(io.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        peer.write_all(b"still").await.unwrap();
        assert_eq!(io.read(&mut [0; 9]).await.unwrap(), 5);
        io.flush().await.unwrap();
        io.shutdown().await.unwrap();
        assert_eq!(read_all(&mut peer, 9).await, b"abc");
        assert_eq!((io.faults().broken_pipes, io.faults().total()), (1, 1));
    });
}

#[test]
fn a_reset_wakes_who_has_polled_last() {
    let (mut io, _peer) = pair(seeded(1).reset_after_writing(1));
    let woken = [Arc::new(Count::default()), Arc::new(Count::default())];
    for count in &woken {
        let waker = Waker::from(Arc::clone(count));
        let mut bytes = [0];
        let mut buf = ReadBuf::new(&mut bytes);
        let read = Pin::new(&mut io).poll_read(&mut Context::from_waker(&waker), &mut buf);
        assert!(read.is_pending());
    }
    let written = Pin::new(&mut io).poll_write(&mut Context::from_waker(Waker::noop()), b"x");
    assert!(matches!(written, Poll::Ready(Ok(1))));
    assert_eq!(woken.map(|count| count.0.load(Relaxed)), [0, 1]);
}

/// The last waker is the one that counts.
#[test]
fn a_stall_wakes_who_has_polled_last() {
    bubble(async {
        let io = RefCell::new(faulty(b"x", seeded(1).stall_reading_at(0, MINUTE)));
        let poll = |cx: &mut Context<'_>| {
            let mut bytes = [0];
            Pin::new(&mut *io.borrow_mut()).poll_read(cx, &mut ReadBuf::new(&mut bytes))
        };
        assert!(poll(&mut Context::from_waker(Waker::noop())).is_pending());
        poll_fn(poll).await.unwrap();
    });
}
