//! Children that say when they are up, and tickers.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidegate_core::{Cx, Ready, Scope, TaskError, scope};
use tokio::time::{Instant, sleep, timeout};

type Error = &'static str;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tidegate_testkit::test]
async fn start_returns_when_the_child_is_up_and_the_child_goes_on() {
    let start = Instant::now();
    scope("job", async |cx: Cx<Error>| {
        let started = cx.start("server", |ready: Ready<u16>| async move {
            sleep(secs(2)).await;
            ready.up(80).unwrap();
            sleep(secs(3)).await;
            Ok("done")
        });
        let (port, server) = started.await.unwrap();
        assert_eq!((port, start.elapsed()), (80, secs(2)));
        assert!(!server.is_finished());
        assert_eq!(server.await.unwrap(), "done");
        assert_eq!(start.elapsed(), secs(5));
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn a_child_that_fails_before_it_is_up_is_not_waited_for() {
    let error = scope("job", async |cx: Cx<Error>| {
        let started = cx.start("server", |_: Ready<()>| async move { Err::<(), _>("no port") });
        let not_ready = started.await.unwrap_err();
        assert!(not_ready.to_string().contains("up"), "{not_ready}");
        let TaskError::Failed(error) = not_ready.into_task().await.unwrap_err() else {
            panic!("it failed")
        };
        assert_eq!(*error, "no port");
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(error.error(), Some(&"no port"));
}

#[tidegate_testkit::test]
async fn a_child_that_lets_go_of_its_ready_is_not_waited_for() {
    scope("job", async |cx: Cx<Error>| {
        let started = cx.start("server", |ready: Ready<()>| async move {
            drop(ready);
            sleep(secs(1)).await;
            Ok(7)
        });
        let not_ready = started.await.unwrap_err();
        assert_eq!(not_ready.into_task().await.unwrap(), 7, "it runs on");
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn a_start_that_is_dropped_leaves_the_child_in_the_scope() {
    let ran = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&ran);
    scope("job", async |cx: Cx<Error>| {
        let started = cx.start("server", |ready: Ready<u16>| async move {
            sleep(secs(2)).await;
            assert_eq!(ready.up(80), Err(80), "nobody waits any more");
            ends.store(true, Ordering::SeqCst);
            Ok(())
        });
        assert!(timeout(secs(1), started).await.is_err());
        drop(cx.start("never polled", |ready: Ready<()>| async move {
            assert!(ready.up(()).is_err());
            Ok(())
        }));
        assert_eq!(cx.live(), 2);
        Ok(())
    })
    .await
    .unwrap();
    assert!(ran.load(Ordering::SeqCst));
}

#[tidegate_testkit::test]
async fn a_start_in_a_scope_that_has_ended_returns() {
    let late = scope("job", async |cx: Cx<Error>| Ok(cx)).await.unwrap();
    let started = late.start("late", |_: Ready<()>| pending::<Result<(), Error>>());
    let not_ready = started.await.unwrap_err();
    assert!(matches!(not_ready.into_task().await, Err(TaskError::Cancelled(_))));
}

/// When calls begin, in seconds, if the first takes `first` and the others `others`, and the scope
/// is to stop after `stop`; and when it ends.
async fn beats(period: u64, [first, others]: [u64; 2], stop: u64) -> (Vec<u64>, Duration) {
    let start = Instant::now();
    let mut takes = first;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let beats = Arc::clone(&seen);
    scope("job", async |cx: Cx<Error>| {
        let task = cx.every("beat", secs(period), move || {
            beats.lock().unwrap().push(start.elapsed().as_secs());
            let call = sleep(secs(std::mem::replace(&mut takes, others)));
            async move {
                call.await;
                Ok(())
            }
        });
        sleep(secs(stop)).await;
        cx.stop("enough");
        task.await.unwrap();
        Ok(())
    })
    .await
    .unwrap();
    let seen = seen.lock().unwrap().clone();
    (seen, start.elapsed())
}

#[tidegate_testkit::test]
async fn a_ticker_calls_at_once_then_once_per_period_until_the_stop() {
    assert_eq!(beats(10, [0, 0], 35).await, (vec![0, 10, 20, 30], secs(35)));
}

#[tidegate_testkit::test]
async fn a_ticker_keeps_one_of_the_ticks_that_pass_during_a_call_and_ends_the_last_call() {
    assert_eq!(beats(10, [25, 0], 45).await, (vec![0, 25, 30, 40], secs(45)));
    assert_eq!(beats(10, [0, 12], 35).await, (vec![0, 10, 22, 34], secs(46)));
    assert_eq!(beats(0, [3, 3], 7).await, (vec![0, 3, 6], secs(9)), "without a period");
}

#[tidegate_testkit::test]
async fn a_ticker_that_fails_ends_and_cancels_its_scope() {
    let mut calls = 0;
    let job = Scope::builder("job").timeout(secs(100));
    let error = job
        .run(async |cx: Cx<Error>| {
            cx.every("beat", secs(10), move || {
                calls += 1;
                async move { if calls < 3 { Ok(()) } else { Err("no pulse") } }
            });
            cx.cancelled().await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.error(), Some(&"no pulse"));
}

#[tidegate_testkit::test]
async fn a_child_that_ends_and_leaves_its_ready_to_somebody_is_not_waited_for() {
    scope("job", async |cx: Cx<Error>| {
        let kept = Arc::new(Mutex::new(None));
        let keeps = Arc::clone(&kept);
        let started = cx.start("server", move |ready: Ready<u16>| async move {
            *keeps.lock().unwrap() = Some(ready);
            Ok("value")
        });
        let not_ready = started.await.unwrap_err();
        assert_eq!(not_ready.into_task().await.unwrap(), "value", "its result is not lost");
        assert!(kept.lock().unwrap().take().unwrap().up(80).is_err());

        let quick = cx.start("quick", |ready: Ready<u16>| async move {
            ready.up(80).unwrap();
            Ok("value")
        });
        tokio::task::yield_now().await;
        let (port, task) = quick.await.unwrap();
        assert_eq!((port, task.await.unwrap()), (80, "value"), "up, and ended since");
        Ok(())
    })
    .await
    .unwrap();
}

#[tidegate_testkit::test]
async fn ticks_of_a_short_period_do_not_burst() {
    let start = Instant::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let beats = Arc::clone(&seen);
    scope("job", async |cx: Cx<Error>| {
        let ms = Duration::from_millis;
        let mut takes = ms(5);
        cx.every("beat", ms(1), move || {
            beats.lock().unwrap().push(start.elapsed().as_millis());
            let call = sleep(std::mem::take(&mut takes));
            async move {
                call.await;
                Ok(())
            }
        });
        sleep(ms(8)).await;
        cx.stop("enough");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(seen.lock().unwrap()[..4], [0, 5, 6, 7]);
}

/// On a paused clock: a timer would move it.
#[tidegate_testkit::test]
async fn without_a_period_the_next_call_follows_at_once() {
    let start = Instant::now();
    let mut calls = 0;
    scope("job", async |cx: Cx<Error>| {
        let own = cx.clone();
        let task = cx.every("busy", Duration::ZERO, move || {
            calls += 1;
            if calls == 1000 {
                own.stop("enough");
            }
            async { Ok(()) }
        });
        task.await.unwrap();
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}
