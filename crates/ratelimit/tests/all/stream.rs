//! Streams and sinks lose no item and no token, whenever they are dropped.

use futures::{
    FutureExt, SinkExt, Stream, StreamExt, channel::mpsc, sink, stream, stream::FusedStream,
};
use std::{cell::RefCell, convert::Infallible, future::ready, pin::pin, sync::Arc, time::Duration};
use tidegate_ratelimit::{
    AcquireError, Denied, Rate, RateLimitSinkExt, RateLimitStreamExt, RateLimitedSink,
    RateLimitedSinkError, RateLimitedStream, RateLimiter, Reservation, Reserve,
};
use tidegate_testkit::{advance, cancel_everywhere};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

fn limiter(rate: u64, burst: u64) -> RateLimiter {
    RateLimiter::builder(Rate::per_second(rate)).burst(burst).build().unwrap()
}

fn remaining(limiter: &RateLimiter) -> u64 {
    limiter.peek().remaining
}

#[tidegate_testkit::test]
async fn items_come_at_the_rate() {
    let limited = stream::iter(0..13).rate_limited(limiter(10, 3));
    assert_eq!(limited.size_hint(), (13, Some(13)));
    let start = Instant::now();
    let items: Vec<_> = limited.map(Result::unwrap).collect().await;
    assert_eq!(items, (0..13).collect::<Vec<_>>());
    assert_eq!(start.elapsed(), SECOND);
}

#[tidegate_testkit::test]
async fn items_cost_what_they_cost() {
    let limiter = limiter(1, 10);
    let mut limited = stream::iter([4, 6, 0, 3]).rate_limited(limiter.clone()).cost(|n| *n);
    let start = Instant::now();
    for (item, left) in [(4, 6), (6, 0), (0, 0)] {
        assert_eq!(limited.next().await.unwrap().unwrap(), item);
        assert_eq!(remaining(&limiter), left);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(limited.next().await.unwrap().unwrap(), 3);
    assert_eq!(start.elapsed(), 3 * SECOND);
}

/// Lets nothing pass.
struct Closed;

impl Reserve for Closed {
    type Reserved = Reservation;

    fn reserve(&self, _: u64) -> Result<Reservation, Denied> {
        Err(Denied::Unavailable { retry_after: Some(SECOND) })
    }
}

#[tidegate_testkit::test]
async fn an_item_that_costs_nothing_passes_any_limiter() {
    let mut limited = stream::iter([0, 1, 0]).rate_limited(Closed).cost(|n| *n);
    assert_eq!(limited.next().await.unwrap().unwrap(), 0);
    assert_eq!(limited.next().await.unwrap().unwrap_err().retry_after(), Some(SECOND));
    assert_eq!(limited.next().await.unwrap().unwrap(), 0);
    let mut limited = Vec::new().rate_limited(Arc::new(Closed)).cost(|n: &u64| *n);
    limited.send(0).await.unwrap();
    assert_eq!(limited.send(1).await.unwrap_err().retry_after(), Some(SECOND));
}

/// It would starve the others that share its limiter.
#[tidegate_testkit::test]
async fn a_stream_that_has_nothing_keeps_no_token() {
    let limiter = limiter(1, 1);
    let mut idle = pin!(stream::pending::<u64>().rate_limited(limiter.clone()));
    assert!(idle.next().now_or_never().is_none());
    let mut busy = stream::iter(0..2).rate_limited(limiter.clone());
    assert_eq!(busy.next().now_or_never().unwrap().unwrap().unwrap(), 0);
    let start = Instant::now();
    assert_eq!(busy.next().await.unwrap().unwrap(), 1);
    assert_eq!(start.elapsed(), SECOND);
}

#[tidegate_testkit::test]
async fn a_next_that_is_dropped_loses_neither_its_item_nor_its_place() {
    let limiter = limiter(1, 1);
    let mut limited = stream::iter(0..3).rate_limited(limiter.clone());
    assert_eq!(limited.next().await.unwrap().unwrap(), 0);
    assert!(timeout(SECOND / 2, limited.next()).await.is_err());
    assert_eq!(limited.size_hint(), (2, Some(2)), "the one that waits counts");
    let start = Instant::now();
    let other = limiter.acquire(1);
    let (item, other) = tokio::join!(
        async {
            let item = limited.next().await.unwrap().unwrap();
            (item, start.elapsed())
        },
        async {
            other.await.unwrap();
            start.elapsed()
        },
    );
    assert_eq!((item, other), ((1, SECOND / 2), SECOND * 3 / 2), "who came later is served later");
    assert_eq!(limited.next().await.unwrap().unwrap(), 2);
    assert!(limited.next().await.is_none());
}

#[tidegate_testkit::test]
async fn a_stream_that_is_dropped_gives_everything_back() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let mut waits = stream::iter(0..3).rate_limited(limiter.clone());
    assert!(waits.next().now_or_never().is_none());
    assert_eq!(limiter.stats().waiting, 1);
    drop(waits);
    assert_eq!(limiter.stats().waiting, 0);

    let mut served = stream::iter(0..3).rate_limited(limiter.clone());
    assert!(served.next().now_or_never().is_none());
    advance(SECOND).await;
    assert_eq!(remaining(&limiter), 0, "taken for the item");
    let (inner, item) = served.into_parts();
    assert_eq!(remaining(&limiter), 1);
    let rest: Vec<_> = inner.collect().await;
    assert_eq!((item, rest), (Some(0), vec![1, 2]));
}

#[tidegate_testkit::test]
async fn an_item_that_never_passes_is_handed_back() {
    let mut limited = stream::iter([1, 5, 2]).rate_limited(limiter(1, 3)).cost(|n| *n);
    assert_eq!(limited.next().await.unwrap().unwrap(), 1);
    let denied = limited.next().await.unwrap().unwrap_err();
    assert_eq!(denied.denied(), Denied::Waiting(AcquireError::Never { cost: 5, possible: 3 }));
    assert_eq!((denied.retry_after(), denied.into_item()), (None, 5));
    assert_eq!(limited.next().await.unwrap().unwrap(), 2, "the next has a chance of its own");
}

/// Of what was in the line already.
#[tidegate_testkit::test]
async fn an_item_that_comes_to_be_denied_is_handed_back() {
    let limiter = limiter(1, 1);
    let mut limited = stream::iter(0..3).rate_limited(limiter.clone());
    assert_eq!(limited.next().await.unwrap().unwrap(), 0);
    assert!(limited.next().now_or_never().is_none());
    limiter.set_rate(Rate::ZERO).unwrap();
    assert_eq!(limited.next().await.unwrap().unwrap_err().into_item(), 1);
    limiter.set_rate(Rate::per_second(1)).unwrap();
    assert_eq!(limited.next().await.unwrap().unwrap(), 2);
}

#[tidegate_testkit::test]
async fn a_line_that_is_full_hands_the_item_back() {
    let limiter = RateLimiter::builder(Rate::per_second(1)).burst(1).max_waiters(0).build();
    let mut limited = stream::iter(0..2).rate_limited(limiter.unwrap());
    assert_eq!(limited.next().await.unwrap().unwrap(), 0);
    let denied = limited.next().await.unwrap().unwrap_err();
    assert_eq!(denied.retry_after(), Some(SECOND));
    assert_eq!(
        format!("{denied:?}"),
        format!("DeniedItem {{ denied: {:?}, .. }}", denied.denied())
    );
}

#[tidegate_testkit::test]
async fn a_stream_ends_after_the_item_that_waits() {
    let mut limited = stream::iter(0..2).fuse().rate_limited(limiter(1, 1));
    assert_eq!(limited.next().await.unwrap().unwrap(), 0);
    assert!(limited.next().now_or_never().is_none());
    assert!(!limited.is_terminated());
    assert_eq!(limited.next().await.unwrap().unwrap(), 1);
    assert!(limited.next().await.is_none());
    assert!(limited.is_terminated());

    // One that knows of its end when it has given its last item.
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let mut last = stream::once(ready(7)).rate_limited(limiter);
    assert!(last.next().now_or_never().is_none());
    assert!(last.get_ref().is_terminated() && !last.is_terminated());
    assert_eq!(last.next().await.unwrap().unwrap(), 7);
    assert!(last.is_terminated());
}

#[tidegate_testkit::test]
async fn streams_share_a_limiter_fairly() {
    let limiter = limiter(10, 1);
    let times = RefCell::new(Vec::new());
    let run = async |name: u64| {
        let mut limited = pin!(stream::iter(0..10).rate_limited(limiter.clone()));
        while let Some(item) = limited.next().await {
            item.unwrap();
            times.borrow_mut().push(name);
        }
    };
    let start = Instant::now();
    tokio::join!(run(0), run(1));
    assert_eq!(start.elapsed(), Duration::from_millis(1900));
    let turns = times.borrow().windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns >= 17, "{:?}", times.borrow());
}

type Numbers = RateLimitedStream<stream::Iter<std::ops::Range<u64>>, RateLimiter>;

#[test]
fn a_stream_loses_nothing_at_any_await() {
    let report = cancel_everywhere(
        || {
            let limiter = limiter(1, 1);
            let limited = stream::iter(0..4).rate_limited(limiter.clone());
            (limiter, Mutex::new(limited), RefCell::new(Vec::new()))
        },
        async |(_, limited, seen): &(RateLimiter, Mutex<Numbers>, RefCell<Vec<u64>>)| {
            let mut limited = limited.lock().await;
            while let Some(item) = limited.next().await {
                seen.borrow_mut().push(item.unwrap());
            }
        },
        async |(limiter, limited, seen), point| {
            let mut limited = limited.lock().await;
            while let Some(item) = limited.next().await {
                seen.borrow_mut().push(item.unwrap());
            }
            assert_eq!(*seen.borrow(), [0, 1, 2, 3], "{point}");
            assert_eq!(limiter.stats().waiting, 0, "{point}");
            advance(SECOND).await;
            assert_eq!(remaining(limiter), 1, "{point}");
        },
    );
    report.assert_covered(3);
}

#[tidegate_testkit::test]
async fn items_are_sent_at_the_rate() {
    let limiter = limiter(1, 10);
    let mut limited = Vec::new().rate_limited(limiter.clone()).cost(|n: &u64| *n);
    let start = Instant::now();
    for item in [4, 6, 0] {
        limited.send(item).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    limited.send(3).await.unwrap();
    assert_eq!(start.elapsed(), 3 * SECOND);
    limited.close().await.unwrap();
    assert_eq!(limited.into_parts(), (vec![4, 6, 0, 3], None));
}

#[tidegate_testkit::test]
async fn what_is_fed_waits_for_the_next_or_for_a_flush() {
    let mut limited = Vec::new().rate_limited(limiter(1, 1));
    limited.feed(1).await.unwrap();
    assert!(limited.get_ref().is_empty());
    limited.feed(2).await.unwrap();
    assert_eq!(limited.get_ref(), &[1]);
    let start = Instant::now();
    limited.close().await.unwrap();
    assert_eq!((limited.get_ref(), start.elapsed()), (&vec![1, 2], SECOND));
}

#[tidegate_testkit::test]
async fn a_sink_that_is_full_costs_no_token() {
    let limiter = limiter(1, 3);
    let (sender, mut receiver) = mpsc::channel(0);
    let mut limited = sender.rate_limited(limiter.clone());
    limited.feed(1).await.unwrap();
    limited.feed(2).await.unwrap();
    assert_eq!(remaining(&limiter), 2);
    assert!(limited.feed(3).now_or_never().is_none(), "the channel has room for one");
    assert_eq!(remaining(&limiter), 2);
    assert_eq!(receiver.next().await, Some(1));
    limited.feed(3).await.unwrap();
    assert_eq!(remaining(&limiter), 1);
}

#[tidegate_testkit::test]
async fn a_send_that_is_dropped_loses_neither_its_item_nor_its_place() {
    let limiter = limiter(1, 1);
    let mut limited = Vec::new().rate_limited(limiter.clone());
    limited.send(1).await.unwrap();
    assert!(timeout(SECOND / 2, limited.send(2)).await.is_err());
    let start = Instant::now();
    let other = limiter.acquire(1);
    let sent = async {
        limited.flush().await.unwrap();
        start.elapsed()
    };
    let (sent, ()) = tokio::join!(sent, async { assert!(other.await.is_ok()) });
    assert_eq!((sent, start.elapsed()), (SECOND / 2, SECOND * 3 / 2));
    assert_eq!(limited.get_ref(), &[1, 2]);
}

#[tidegate_testkit::test]
async fn a_sink_that_is_dropped_gives_everything_back() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let mut limited = Vec::new().rate_limited(limiter.clone());
    assert!(limited.send(1).now_or_never().is_none());
    assert_eq!(limiter.stats().waiting, 1);
    advance(SECOND).await;
    assert_eq!(remaining(&limiter), 0, "taken for the item");
    assert_eq!(limited.into_parts(), (vec![], Some(1)));
    assert_eq!((remaining(&limiter), limiter.stats().waiting), (1, 0));
}

#[tidegate_testkit::test]
async fn an_item_that_cannot_be_sent_is_handed_back() {
    let mut limited = Vec::new().rate_limited(limiter(1, 3)).cost(|n: &u64| *n);
    let error = limited.send(5).await.unwrap_err();
    assert_eq!(error.retry_after(), None);
    let RateLimitedSinkError::Denied(denied) = error else { panic!("{error}") };
    assert_eq!(denied.into_item(), 5);
    limited.send(2).await.unwrap();
    assert_eq!(limited.get_ref(), &[2]);
}

/// The item is there still, and no token is.
#[tidegate_testkit::test]
async fn an_error_of_the_inner_sink_gives_the_tokens_back() {
    let limiter = limiter(1, 1);
    limiter.try_acquire(1).unwrap();
    let (sender, receiver) = mpsc::channel(4);
    let mut limited = sender.rate_limited(limiter.clone());
    assert!(limited.send(7).now_or_never().is_none());
    assert_eq!(limiter.stats().waiting, 1);
    drop(receiver);
    let error = limited.flush().await.unwrap_err();
    assert!(matches!(&error, RateLimitedSinkError::Inner(error) if error.is_disconnected()));
    assert_eq!(limiter.stats().waiting, 0);
    assert_eq!(limited.into_parts().1, Some(7));
}

#[tidegate_testkit::test]
async fn a_sink_that_is_sent_to_twice_without_being_ready_panics() {
    let mut limited = pin!(Vec::new().rate_limited(limiter(1, 1)));
    limited.as_mut().start_send_unpin(1).unwrap();
    let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        limited.as_mut().start_send_unpin(2)
    }));
    let message = sent.unwrap_err();
    assert!(message.downcast_ref::<&str>().unwrap().contains("poll_ready"));
}

type Sent = RateLimitedSink<Vec<u64>, u64, RateLimiter>;

#[test]
fn a_sink_loses_nothing_at_any_await() {
    let report = cancel_everywhere(
        || {
            let limiter = limiter(1, 1);
            (limiter.clone(), Mutex::new((0, Vec::new().rate_limited(limiter))))
        },
        async |(_, sink): &(RateLimiter, Mutex<(u64, Sent)>)| {
            let mut sink = sink.lock().await;
            let (next, sink) = &mut *sink;
            while *next < 4 {
                std::future::poll_fn(|cx| sink.poll_ready_unpin(cx)).await.unwrap();
                sink.start_send_unpin(*next).unwrap();
                *next += 1;
                sink.flush().await.unwrap();
            }
        },
        async |(limiter, sink), point| {
            let mut sink = sink.lock().await;
            let (next, sink) = &mut *sink;
            sink.close().await.unwrap();
            assert_eq!(*sink.get_ref(), (0..*next).collect::<Vec<_>>(), "{point}");
            assert_eq!(limiter.stats().waiting, 0, "{point}");
            advance(SECOND).await;
            assert_eq!(remaining(limiter), 1, "{point}");
        },
    );
    report.assert_covered(3);
}

/// Neither has to be `Unpin`, `Send` or `'static`.
#[tidegate_testkit::test]
async fn a_stream_flows_into_a_sink() {
    let seen = RefCell::new(Vec::new());
    let limiter = limiter(10, 1);
    let sink = sink::unfold((), |(), n: u64| {
        seen.borrow_mut().push(n);
        async { Ok::<_, Infallible>(()) }
    });
    let source = stream::unfold(0, async |n: u64| (n < 5).then_some((n, n + 1)));
    let source = source.rate_limited(&limiter).map(Result::unwrap).map(Ok);
    let start = Instant::now();
    source.forward(sink.rate_limited(&limiter)).await.unwrap();
    assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4]);
    assert_eq!(start.elapsed(), Duration::from_millis(900));
}
