//! Each fault comes where its plan says, and none loses a byte.

use proptest::prelude::*;
use std::{
    cell::RefCell,
    io::{self, ErrorKind, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tidegate_testkit::{
    FaultIo, FaultPlan, FaultPlanBuilder, FaultPlanError, Seed, bubble, cancel_everywhere,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    join,
    time::timeout,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn seeded(seed: u64) -> FaultPlanBuilder {
    FaultPlan::seeded(Seed::new(seed))
}

/// An I/O that has `bytes` to read and no more, and its faults.
pub(crate) fn faulty(bytes: &[u8], plan: FaultPlanBuilder) -> FaultIo<io::Cursor<Vec<u8>>> {
    FaultIo::new(io::Cursor::new(bytes.to_vec()), plan.build().unwrap())
}

pub(crate) fn pair(plan: FaultPlanBuilder) -> (FaultIo<DuplexStream>, DuplexStream) {
    let (io, peer) = duplex(1 << 16);
    (FaultIo::new(io, plan.build().unwrap()), peer)
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Count(pub(crate) AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// What one read gives, and how often it was pending.
pub(crate) fn read_once(io: impl AsyncRead, room: usize) -> (io::Result<Vec<u8>>, usize) {
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    let (mut io, mut bytes) = (pin!(io), vec![0; room]);
    let mut pending = 0;
    loop {
        let mut buf = ReadBuf::new(&mut bytes);
        match io.as_mut().poll_read(&mut Context::from_waker(&waker), &mut buf) {
            Poll::Ready(result) => return (result.map(|()| buf.filled().to_vec()), pending),
            Poll::Pending => pending += 1,
        }
        assert_eq!(woken.0.load(Relaxed), pending, "it wakes itself each time");
    }
}

async fn write_all(io: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], vectored: bool) {
    while !bytes.is_empty() {
        let (a, b) = bytes.split_at(bytes.len() / 3);
        let slices = [IoSlice::new(a), IoSlice::new(b)];
        let written =
            if vectored { io.write_vectored(&slices).await } else { io.write(bytes).await };
        match written {
            Ok(len) => bytes = &bytes[len..],
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
        }
    }
    io.shutdown().await.unwrap();
}

pub(crate) async fn read_all(io: &mut (impl AsyncRead + Unpin), room: usize) -> Vec<u8> {
    let (mut all, mut part) = (Vec::new(), vec![0; room]);
    loop {
        match io.read(&mut part).await {
            Ok(0) => return all,
            Ok(len) => all.extend_from_slice(&part[..len]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
        }
    }
}

fn plans() -> impl Strategy<Value = FaultPlan> {
    let odds = || prop_oneof![Just(0.0), Just(1.0), 0.0..1.0];
    let stalls = || proptest::collection::vec((0_u64..300, 0_u64..5_000), 0..4);
    (any::<u64>(), odds(), odds(), odds(), odds(), stalls(), stalls()).prop_map(
        |(seed, reads, writes, pending, interrupted, read_stalls, write_stalls)| {
            let mut plan = seeded(seed)
                .short_reads(reads)
                .short_writes(writes)
                .pending(pending)
                .interrupted(interrupted);
            for (byte, ms) in read_stalls {
                plan = plan.stall_reading_at(byte, Duration::from_millis(ms));
            }
            for (byte, ms) in write_stalls {
                plan = plan.stall_writing_at(byte, Duration::from_millis(ms));
            }
            plan.build().unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 4 } else { 256 },
        ..ProptestConfig::default()
    })]

    /// Both ends have faults, and what is written is what is read, as it is without them.
    #[test]
    fn no_byte_is_lost_or_changed(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        plans in (plans(), plans()),
        room in 1_usize..64,
        capacity in 1_usize..64,
        vectored: bool,
    ) {
        let read = bubble(async {
            let (writer, reader) = duplex(capacity);
            let mut writer = FaultIo::new(writer, plans.0);
            let mut reader = FaultIo::new(reader, plans.1);
            let write = write_all(&mut writer, &bytes, vectored);
            join!(write, read_all(&mut reader, room)).1
        });
        prop_assert_eq!(read, bytes);
    }
}

#[test]
fn one_seed_is_one_sequence_of_faults() {
    let reads = |seed| {
        let plan = seeded(seed).short_reads(0.5).pending(0.5).interrupted(0.5).flip_reads(0.5);
        let mut io = faulty(&[0; 400], plan);
        let reads: Vec<_> = (0..100)
            .map(|_| {
                let (read, pending) = read_once(&mut io, 8);
                (read.map_err(|error| error.kind()), pending)
            })
            .collect();
        (reads, io.faults())
    };
    let (sequence, faults) = reads(3);
    assert_eq!((&sequence, faults), (&reads(3).0, reads(3).1));
    assert_ne!(sequence, reads(4).0);
    let kinds = [faults.short_reads, faults.pending, faults.interrupted, faults.flipped_bits];
    assert!(kinds.iter().all(|count| *count > 10), "{faults:?}");
    assert_eq!(faults.total(), kinds.iter().sum::<u64>());
}

/// How often a task is woken for nothing depends on others.
#[test]
fn polls_in_vain_and_the_other_direction_change_nothing() {
    let sizes = |is_disturbed: bool| {
        bubble(async {
            let plan = seeded(5).short_reads(0.5).short_writes(0.5).pending(0.3);
            let (mut io, mut peer) = pair(plan);
            let (mut sizes, mut part) = (Vec::new(), [0; 16]);
            for _ in 0..50 {
                if is_disturbed {
                    io.write_all(b"in between").await.unwrap();
                    for _ in 0..3 {
                        let none = timeout(Duration::from_millis(1), io.read(&mut part)).await;
                        assert!(none.is_err());
                    }
                }
                peer.write_all(&[7; 16]).await.unwrap();
                let mut left = 16;
                while left > 0 {
                    sizes.push(io.read(&mut part[..left]).await.unwrap());
                    left -= sizes.last().unwrap();
                }
            }
            sizes
        })
    };
    assert_eq!(sizes(false), sizes(true));
}

#[test]
fn streams_of_a_plan_have_seeds_of_their_own() {
    let plan = seeded(5).short_reads(0.5).build().unwrap();
    let seeds = [plan.seed(), plan.stream(0).seed(), plan.stream(1).seed()];
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2], "{seeds:?}");
    assert_eq!(plan.stream(1), plan.stream(1));
}

#[test]
fn short_is_less_than_there_is_room_for_and_not_nothing() {
    let mut io = faulty(&[0; 1_000], seeded(1).short_reads(1.0).short_writes(1.0));
    for n in 1..=100 {
        let (read, _) = read_once(&mut io, 8);
        assert!((1..8).contains(&read.unwrap().len()));
        assert_eq!(io.faults().short_reads, n);
    }
    assert_eq!(read_once(&mut io, 1).0.unwrap().len(), 1, "no less than one byte");
    assert_eq!(io.faults().short_reads, 100);
    bubble(async {
        let (mut io, _peer) = pair(seeded(1).short_writes(1.0));
        for _ in 0..100 {
            assert!((1..8).contains(&io.write(&[0; 8]).await.unwrap()));
        }
        assert_eq!(io.faults().short_writes, 100);
    });
}

/// A read is not made short by the plan that has no more to give.
#[test]
fn what_is_short_by_itself_is_no_fault() {
    let mut shorts = 0;
    for seed in 0..50 {
        let mut io = faulty(b"x", seeded(seed).short_reads(1.0));
        assert_eq!(read_once(&mut io, 1_000).0.unwrap(), b"x");
        shorts += io.faults().short_reads;
    }
    assert!(shorts < 10, "{shorts}");
}

#[test]
fn reads_and_writes_are_drawn_each_for_itself() {
    bubble(async {
        let (mut io, mut peer) = pair(seeded(1).short_reads(0.5).short_writes(0.5));
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        peer.write_all(&[0; 1_600]).await.unwrap();
        for _ in 0..100 {
            reads.push(io.read(&mut [0; 16]).await.unwrap());
            writes.push(io.write(&[0; 16]).await.unwrap());
        }
        assert_ne!(reads, writes);
    });
}

#[test]
fn who_is_pending_wakes_itself_and_goes_on() {
    let mut io = faulty(b"abc", seeded(1).pending(1.0));
    for byte in *b"abc" {
        let (read, pending) = read_once(&mut io, 1);
        assert_eq!((read.unwrap(), pending), (vec![byte], 1));
    }
    // In a bubble, one that does not would be a deadlock.
    bubble(async {
        let (mut io, mut peer) = pair(seeded(1).pending(1.0));
        io.write_all(b"x").await.unwrap();
        io.flush().await.unwrap();
        io.shutdown().await.unwrap();
        assert_eq!(io.faults().pending, 3);
        assert_eq!(read_all(&mut peer, 9).await, b"x");
    });
}

#[test]
fn who_is_interrupted_gets_through_the_second_time() {
    let mut io = faulty(b"ab", seeded(1).interrupted(1.0));
    for byte in *b"ab" {
        assert_eq!(read_once(&mut io, 1).0.unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(read_once(&mut io, 1).0.unwrap(), [byte]);
    }
    assert_eq!(io.faults().interrupted, 2);
    bubble(async {
        let (mut io, _peer) = pair(seeded(1).interrupted(1.0));
        assert_eq!(io.write(b"x").await.unwrap_err().kind(), ErrorKind::Interrupted);
        assert_eq!(io.write(b"x").await.unwrap(), 1);
    });
}

fn ones(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| byte.count_ones()).sum()
}

#[test]
fn one_bit_of_what_goes_through_is_flipped() {
    let mut io = faulty(&[0; 1_000], seeded(1).flip_reads(1.0));
    let mut flipped = [0; 10];
    for _ in 0..100 {
        let (read, _) = read_once(&mut io, 10);
        let read = read.unwrap();
        assert_eq!(ones(&read), 1);
        flipped.iter_mut().zip(read).for_each(|(any, byte)| *any |= byte);
    }
    assert!(flipped.iter().all(|any| *any != 0), "everywhere: {flipped:?}");
    assert_eq!(io.faults().flipped_bits, 100);
    bubble(async {
        let (io, mut peer) = duplex(4);
        let mut io = FaultIo::new(io, seeded(1).flip_writes(1.0).build().unwrap());
        let mut before = 0;
        for _ in 0..100 {
            let given = [0; 10];
            assert_eq!(io.write(&given).await.unwrap(), 4, "no more fits");
            let mut got = [0; 4];
            peer.read_exact(&mut got).await.unwrap();
            // It may be in the part that was not taken, and is not counted then.
            let flipped = io.faults().flipped_bits;
            assert_eq!(u64::from(ones(&got)), flipped - before);
            before = flipped;
        }
        assert!((10..90).contains(&before), "{before}");
    });
}

#[test]
fn what_a_buffer_holds_already_is_left_alone() {
    let mut io = faulty(b"xyz", seeded(1).flip_reads(1.0).short_reads(1.0));
    let mut bytes = [0; 6];
    let mut buf = ReadBuf::new(&mut bytes);
    buf.put_slice(b"abc");
    let read = Pin::new(&mut io).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
    assert!(matches!(read, Poll::Ready(Ok(()))));
    assert_eq!(&buf.filled()[..3], b"abc");
    assert!((4..6).contains(&buf.filled().len()), "{buf:?}");
}

#[test]
fn what_moves_no_bytes_has_no_faults_but_waits() {
    bubble(async {
        let (mut io, _peer) = pair(seeded(1).interrupted(1.0).stall_reading_at(0, MINUTE));
        assert_eq!(io.read(&mut []).await.unwrap(), 0);
        assert_eq!(io.write(b"").await.unwrap(), 0);
        io.flush().await.unwrap();
        assert_eq!(io.faults().total(), 0);
    });
}

/// Its writes fail, for once.
#[derive(Debug, Default)]
struct FailsOnce(bool);

impl AsyncWrite for FailsOnce {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let has_failed = std::mem::replace(&mut self.0, true);
        Poll::Ready(if has_failed { Ok(bytes.len()) } else { Err(ErrorKind::TimedOut.into()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn errors_of_the_io_below_come_through_and_end_the_operation() {
    bubble(async {
        let plan = seeded(1).pending(1.0).build().unwrap();
        let mut io = FaultIo::new(FailsOnce::default(), plan);
        assert_eq!(io.write(b"x").await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(io.write(b"x").await.unwrap(), 1);
        assert_eq!(io.faults().pending, 2);
        assert_eq!(io.flush().await.unwrap_err().kind(), ErrorKind::TimedOut);
        io.shutdown().await.unwrap();
        assert_eq!(io.faults().pending, 4);
        assert!(io.get_ref().0 && io.get_mut().0 && Pin::new(&mut io).get_pin_mut().0);
        assert!(io.into_inner().0);
    });
}

#[test]
fn what_is_no_probability_is_refused_by_name() {
    type Set = fn(FaultPlanBuilder, f64) -> FaultPlanBuilder;
    let setters: [(&str, Set); 6] = [
        ("short_reads", FaultPlanBuilder::short_reads),
        ("short_writes", FaultPlanBuilder::short_writes),
        ("pending", FaultPlanBuilder::pending),
        ("interrupted", FaultPlanBuilder::interrupted),
        ("flip_reads", FaultPlanBuilder::flip_reads),
        ("flip_writes", FaultPlanBuilder::flip_writes),
    ];
    for (name, set) in setters {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = set(seeded(1), wrong).build().unwrap_err();
            assert!(
                matches!(error, FaultPlanError::NotAProbability { fault, .. } if fault == name),
                "{error}"
            );
            assert!(error.to_string().starts_with(&format!("{name}: {wrong} is not")), "{error}");
        }
        for right in [0.0, 1.0] {
            set(seeded(1), right).build().unwrap();
        }
    }
}

/// Wherever a reader is dropped, the next one goes on with the next byte.
#[test]
fn a_reader_that_is_dropped_loses_no_byte() {
    struct Subject {
        io: RefCell<FaultIo<DuplexStream>>,
        _peer: DuplexStream,
        got: RefCell<Vec<u8>>,
    }
    #[expect(clippy::await_holding_refcell_ref, reason = "one after the other holds it")]
    let read_to = async |subject: &Subject, len: usize| {
        let mut part = [0; 4];
        while subject.got.borrow().len() < len {
            let read = subject.io.borrow_mut().read(&mut part).await;
            subject.got.borrow_mut().extend_from_slice(&part[..read.unwrap_or(0)]);
        }
    };
    let report = cancel_everywhere(
        || {
            let plan = seeded(9)
                .short_reads(0.5)
                .pending(0.5)
                .interrupted(0.2)
                .stall_reading_at(6, MINUTE);
            let (io, mut peer) = pair(plan);
            let written = Pin::new(&mut peer)
                .poll_write(&mut Context::from_waker(Waker::noop()), b"0123456789");
            assert!(matches!(written, Poll::Ready(Ok(10))));
            Subject { io: RefCell::new(io), _peer: peer, got: RefCell::default() }
        },
        async |subject| read_to(subject, 10).await,
        async |subject, point| {
            read_to(subject, 10).await;
            assert_eq!(*subject.got.borrow(), b"0123456789", "{point}");
        },
    );
    report.assert_covered(8);
}
