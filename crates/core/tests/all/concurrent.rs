use crate::scope::Alive;
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, pending},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::{CancelToken, ConcurrentError, Cx, Scope, scope};
use tokio::time::{Instant, sleep};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Runs `body` in a scope.
async fn job<T>(body: impl AsyncFnOnce(Cx<Infallible>) -> T) -> T {
    scope("job", async |cx| Ok(body(cx).await)).await.unwrap()
}

#[tidegate_testkit::test]
async fn futures_that_borrow_wait_at_the_same_time() {
    let begun = Instant::now();
    let log = RefCell::new(Vec::new());
    let times = [3, 1, 2];
    let values = job(async |cx| {
        let wait = async |n: &u64| {
            sleep(secs(*n)).await;
            log.borrow_mut().push(*n);
            Ok::<_, Infallible>(*n)
        };
        cx.concurrent(times.iter().map(wait)).await.unwrap()
    });
    assert_eq!(values.await, [3, 1, 2]);
    assert_eq!((log.into_inner(), begun.elapsed()), (vec![1, 2, 3], secs(3)));
}

#[tidegate_testkit::test]
async fn no_more_than_the_limit_are_begun() {
    let begun = Instant::now();
    let (now, most, asked) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let futures = (0..10).map(|n| {
        asked.set(asked.get() + 1);
        let (now, most) = (&now, &most);
        async move {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            sleep(secs(1)).await;
            now.set(now.get() - 1);
            if n == 7 { Err(n) } else { Ok(n) }
        }
    });
    let error = job(async |cx| cx.concurrent(futures).limit(3).await.unwrap_err()).await;
    assert!(matches!(error, ConcurrentError::Failed(7)), "{error}");
    assert_eq!((most.get(), asked.get(), begun.elapsed()), (3, 10, secs(3)));
    let one = job(async |cx| cx.concurrent([1].map(async |n| Ok::<_, u8>(n))).limit(0).await);
    assert_eq!(one.await.unwrap(), [1], "at least one at once");
    let none = job(async |cx| cx.concurrent([0; 0].map(async |n| Ok::<_, u8>(n))).limit(0).await);
    assert!(none.await.unwrap().is_empty());
}

#[tidegate_testkit::test]
async fn an_error_drops_the_others_and_so_does_a_cancellation() {
    let alive = Arc::new(AtomicUsize::new(0));
    let futures = |bad: Option<u64>| {
        (0..4)
            .map(|n| {
                let guard = Alive::new(&alive);
                async move {
                    let _guard = guard;
                    if bad == Some(n) { Err("no luck") } else { pending::<Result<(), _>>().await }
                }
            })
            .collect::<Vec<_>>()
    };
    let failed = job(async |cx| {
        // Kept: the others are dropped when it fails, not with it.
        let mut running = cx.concurrent(futures(Some(2)));
        let failed = (&mut running).await.unwrap_err();
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert!(!cx.is_cancelled(), "an error is the caller's to handle");
        failed
    });
    assert_eq!(failed.await.to_string(), "no luck");
    let token = CancelToken::new();
    let cancelled = Scope::builder("job").token(&token).run(async |cx: Cx<Infallible>| {
        let mut waiting = cx.concurrent(futures(None));
        let (result, ()) = tokio::join!(&mut waiting, async { _ = token.cancel("enough") });
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        let Err(ConcurrentError::Cancelled(cause)) = result else { panic!("{result:?}") };
        assert!(cause.to_string().contains("enough"));
        Ok(())
    });
    assert!(cancelled.await.is_err());
}

#[tokio::test]
async fn dropped_after_any_poll_it_leaves_nothing() {
    for polls in 0..6 {
        let alive = Arc::new(AtomicUsize::new(0));
        job(async |cx| {
            let futures = (0..3).map(|n| {
                let guard = Alive::new(&alive);
                async move {
                    for _ in 0..n {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, Infallible>(guard)
                }
            });
            let mut running = pin!(Some(cx.concurrent(futures)));
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                if running.as_mut().as_pin_mut().unwrap().poll(&mut context).is_ready() {
                    break;
                }
            }
            running.set(None);
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        })
        .await;
    }
}

/// Counts polls, and is ready at the last.
struct Polled<'a>(&'a Cell<usize>, usize);

impl Future for Polled<'_> {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.set(self.0.get() + 1);
        if self.0.get() % self.1 == 0 {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polling all of them for each that is woken would be quadratic.
#[tidegate_testkit::test]
async fn a_future_that_was_not_woken_is_not_polled() {
    let polls = Cell::new(0);
    job(async |cx| {
        let futures = (0..1000).map(|n| {
            let polls = &polls;
            async move {
                let mut waiting = pin!(sleep(Duration::from_millis(n)));
                std::future::poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    waiting.as_mut().poll(cx)
                })
                .await;
                Ok::<_, Infallible>(())
            }
        });
        cx.concurrent(futures).await.unwrap();
    })
    .await;
    assert!(polls.get() <= 2000, "{}", polls.get());
}

/// A future that wakes itself at each poll must not keep the runtime to itself.
#[tokio::test]
async fn others_have_their_turn() {
    let polls = Cell::new(0);
    job(async |cx| {
        let busy = cx.concurrent([Polled(&polls, 10_000)]);
        let seen = Cell::new(0);
        let other = async {
            tokio::task::yield_now().await;
            seen.set(polls.get());
        };
        let (done, ()) = tokio::join!(busy, other);
        assert!(done.is_ok());
        assert!(seen.get() < 10_000, "{}", seen.get());
    })
    .await;
}
