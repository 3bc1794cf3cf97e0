use super::{
    ledger::planned_panic,
    runtimes::{Error, on_every_runtime, on_paused_clock},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tidegate_pipeline::{ItemErrorKind, OnError, Pipeline, Reason, Stage};

const COLLECT: OnError = OnError::Collect { max: 100 };

fn third(n: usize) -> Result<usize, Error> {
    if n == 3 { planned_panic(n) } else { Ok(n) }
}

#[test]
fn one_panic_loses_the_stream() {
    on_every_runtime(|cx| async move {
        let source = || Pipeline::from_iter("numbers", 0..10).on_error(COLLECT);
        let stage = || Stage::new("third").concurrency(2).ordered();
        for pipeline in [
            source().map(stage(), third),
            source().map_async(stage(), |n| async move { third(n) }),
            source().map_async(stage(), |n| {
                let early = third(n);
                async { early }
            }),
            source().map_blocking(stage(), || (), |(), n| third(n)),
        ] {
            let (items, summary) = pipeline.collect(&cx).await.unwrap();
            assert_eq!(items, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
            let [error] = summary.errors() else { panic!("{:?}", summary.errors()) };
            assert_eq!((error.stage().as_str(), error.seq()), ("third", 3));
            assert_eq!(error.kind(), &ItemErrorKind::Panicked("planned panic of 3".into()));
            assert_eq!(error.to_string(), "stage `third`, item 3 panicked: planned panic of 3");
        }
    });
}

/// A payload whose destructor panics, too.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        planned_panic(0);
    }
}

#[test]
fn a_panic_payload_that_panics_when_dropped_is_survived() {
    on_every_runtime(|cx| async move {
        let explode = |n: usize| {
            if n == 3 { std::panic::panic_any(Bomb) } else { Ok::<_, Error>(n) }
        };
        planned_panic_hook_for_bombs();
        let source = || Pipeline::from_iter("numbers", 0..10).on_error(COLLECT);
        for pipeline in [
            source().map("a", explode),
            source().map_async("a", move |n| async move { explode(n) }),
            source().map_blocking("a", || (), move |(), n| explode(n)),
        ] {
            let (items, summary) = pipeline.collect(&cx).await.unwrap();
            assert_eq!((items.len(), summary.failed()), (9, 1));
        }
    });
}

/// The usual hook would print the payload of each bomb.
fn planned_panic_hook_for_bombs() {
    drop(std::panic::catch_unwind(|| planned_panic(0)));
}

#[test]
fn the_state_of_a_blocking_worker_is_made_anew_after_a_panic() {
    on_every_runtime(|cx| async move {
        let made = Arc::new(AtomicUsize::new(0));
        let makes = Arc::clone(&made);
        let (items, _) = Pipeline::from_iter("numbers", 0..6)
            .on_error(COLLECT)
            .map_blocking(
                "sum",
                move || {
                    makes.fetch_add(1, SeqCst);
                    0
                },
                |sum, n| {
                    *sum += 1;
                    third(n).map(|_| *sum)
                },
            )
            .collect(&cx)
            .await
            .unwrap();
        assert_eq!(items, [1, 2, 3, 1, 2]);
        assert_eq!(made.load(SeqCst), 2);
    });
}

#[test]
fn the_first_error_ends_the_run_and_is_returned() {
    on_every_runtime(|cx| async move {
        let error = Pipeline::from_iter("numbers", 0..)
            .map("check", |n: usize| if n == 700 { Err(Error::from("odd one")) } else { Ok(n) })
            .map_async(Stage::new("wait").concurrency(4), |n| async move {
                tokio::task::yield_now().await;
                Ok(n)
            })
            .run(&cx)
            .await
            .unwrap_err();
        let Reason::Item(item) = error.reason() else { panic!("{error}") };
        assert_eq!((item.stage().as_str(), item.seq()), ("check", 700));
        assert_eq!(error.error().unwrap(), "odd one");
        assert_eq!(error.to_string(), "stage `check`, item 700: odd one");
        assert_eq!(error.summary().failed(), 1);
        assert!(error.summary().stats().is_conserved());
        assert!(!cx.is_cancelled(), "only the run is cancelled, not the caller's scope");
    });
}

#[test]
fn collected_errors_are_bounded_and_all_are_counted_and_reported() {
    on_every_runtime(|cx| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = Arc::clone(&seen);
        let (items, summary) = Pipeline::from_iter("numbers", 0..1000)
            .on_error(OnError::Collect { max: 7 })
            .on_item_error(move |error| sees.lock().unwrap().push(error.seq()))
            .map(Stage::new("even").concurrency(3), |n: u64| {
                if n % 2 == 0 { Ok(n) } else { Err(Error::from("odd")) }
            })
            .collect(&cx)
            .await
            .unwrap();
        assert_eq!((items.len(), summary.failed(), summary.errors().len()), (500, 500, 7));
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    });
}

#[test]
fn a_panic_of_the_callback_ends_the_run_with_the_name_of_the_stage() {
    on_every_runtime(|cx| async move {
        let error = Pipeline::from_iter("numbers", 0..)
            .on_error(COLLECT)
            .on_item_error(|_| planned_panic(1))
            .map_async("all fail", |_: usize| async { Err::<usize, _>(Error::from("no")) })
            .run(&cx)
            .await
            .unwrap_err();
        let Reason::Panicked { stage, message } = error.reason() else { panic!("{error}") };
        assert_eq!((stage.as_str(), message.as_str()), ("all fail", "planned panic of 1"));
        assert!(error.summary().stats().is_conserved());
    });
}

#[test]
fn an_error_of_the_consumer_ends_the_run_even_if_errors_are_collected() {
    on_every_runtime(|cx| async move {
        let source = || {
            Pipeline::from_iter("numbers", 0..)
                .on_error(COLLECT)
                .map("a", Ok::<usize, Error>)
                .sink("write")
        };
        let each = source().for_each(&cx, |n| async move {
            if n == 5 { Err("disk full".into()) } else { Ok(()) }
        });
        let panics = source()
            .for_each(&cx, |n| async move { if n == 5 { planned_panic(n) } else { Ok(()) } });
        let chunk = source().for_each_chunk(&cx, |chunk| {
            while let Some(n) = (!chunk.is_empty()).then(|| chunk.remove(0)) {
                if n == 5 {
                    return Err("disk full".into());
                }
            }
            Ok(())
        });
        for error in [each.await, panics.await, chunk.await].map(Result::unwrap_err) {
            let Reason::Item(item) = error.reason() else { panic!("{error}") };
            assert_eq!((item.stage().as_str(), item.seq()), ("write", 5));
            assert_eq!(error.summary().delivered(), 5);
            assert!(error.summary().stats().is_conserved());
        }
    });
}

/// The destructor of an item's future belongs to that item.
#[test]
fn a_future_that_panics_when_dropped_fails_its_item_only() {
    struct Guard(usize);
    impl Drop for Guard {
        fn drop(&mut self) {
            if self.0 == 3 {
                planned_panic(3);
            }
        }
    }
    on_every_runtime(|cx| async move {
        let (items, summary) = Pipeline::from_iter("numbers", 0..10)
            .on_error(COLLECT)
            .map_async(Stage::new("guarded").concurrency(3).ordered(), |n| {
                let guard = Guard(n);
                async move {
                    tokio::task::yield_now().await;
                    Ok::<_, Error>(guard.0)
                }
            })
            .collect(&cx)
            .await
            .unwrap();
        assert_eq!(items, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!(summary.failed(), 1);
    });
}

/// An error that cannot be shown.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        planned_panic(0)
    }
}

#[test]
fn an_error_whose_text_panics_ends_the_run_like_any_other() {
    on_every_runtime(|cx| async move {
        let source = || Pipeline::from_iter("numbers", 0..10);
        let fail = |n: usize| if n == 3 { Err(Unspeakable) } else { Ok(Some(n)) };
        for pipeline in [
            source().filter_map("stage", fail),
            source().filter_map_async("stage", move |n| async move { fail(n) }),
            source().filter_map_blocking("stage", || (), move |(), n| fail(n)),
        ] {
            let stats = pipeline.stats();
            let error = pipeline.run(&cx).await.unwrap_err();
            assert!(matches!(error.reason(), Reason::Item(item) if item.seq() == 3));
            assert!(stats.snapshot().is_conserved(), "{}", stats.snapshot());
        }
        let error =
            source().for_each(&cx, |_| std::future::ready(Err(Unspeakable))).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Item(item) if item.seq() == 0));
    });
}

/// An item that must not be dropped.
#[derive(Debug)]
struct Brittle(usize);

impl Drop for Brittle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            planned_panic(self.0);
        }
    }
}

#[test]
fn items_that_panic_when_they_are_swept_away_leave_the_report() {
    on_every_runtime(|cx| async move {
        for ordered in [false, true] {
            let stage = |name| {
                let stage = Stage::new(name).concurrency(2).capacity(4).batch(4);
                if ordered { stage.ordered() } else { stage }
            };
            let pipeline = Pipeline::from_iter("numbers", (0..100).map(Brittle))
                .map(stage("pass"), Ok)
                .map(stage("fail"), |item: Brittle| {
                    let number = item.0;
                    std::mem::forget(item);
                    if number == 20 { Err("twenty".to_owned()) } else { Ok(Brittle(number)) }
                });
            let stats = pipeline.stats();
            let error = pipeline
                .for_each(&cx, |item| {
                    std::mem::forget(item);
                    std::future::ready(Ok(()))
                })
                .await
                .unwrap_err();
            assert_eq!(error.error().unwrap(), "twenty", "{error}");
            assert!(stats.snapshot().is_conserved(), "{}", stats.snapshot());
        }
    });
}

#[test]
fn a_consumer_that_panics_when_it_is_dropped_fails_its_item() {
    struct Late(usize);
    impl Future for Late {
        type Output = Result<(), Error>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(Ok(()))
        }
    }
    impl Drop for Late {
        fn drop(&mut self) {
            if self.0 == 2 {
                planned_panic(2);
            }
        }
    }
    on_every_runtime(|cx| async move {
        let pipeline = Pipeline::from_iter("numbers", 0..5);
        let error = pipeline.for_each(&cx, Late).await.unwrap_err();
        let Reason::Item(item) = error.reason() else { panic!("{error}") };
        assert_eq!(item.seq(), 2);
        assert_eq!(item.kind(), &ItemErrorKind::Panicked("planned panic of 2".into()));
        assert_eq!((error.summary().delivered(), error.summary().failed()), (2, 1));
    });
}

#[test]
fn a_panic_after_the_one_that_ended_the_run_is_told_too() {
    // On one core, so that one worker has both items.
    on_paused_clock(async |cx| {
        let begun = Arc::new(AtomicUsize::new(0));
        let error = Pipeline::from_iter("numbers", 0..2)
            .on_error(COLLECT)
            .on_item_error(|error: &tidegate_pipeline::ItemError<Error>| {
                planned_panic(usize::try_from(error.seq()).unwrap())
            })
            .map_async(Stage::new("fail").concurrency(2), move |n: usize| {
                let begun = Arc::clone(&begun);
                async move {
                    // Both end in the turn after the one in which the second begins.
                    begun.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                    while begun.load(SeqCst) < 2 {
                        tokio::task::yield_now().await;
                    }
                    Err::<(), _>(format!("error of {n}"))
                }
            })
            .run(&cx)
            .await
            .unwrap_err();
        let panic_of = |reason: &Reason<Error>| match reason {
            Reason::Panicked { stage, message } => format!("{stage}: {message}"),
            other => panic!("{other}"),
        };
        let mut panics: Vec<_> = error.also().iter().map(panic_of).collect();
        panics.push(panic_of(error.reason()));
        panics.sort();
        assert_eq!(panics, ["fail: planned panic of 0", "fail: planned panic of 1"], "{error}");
        assert_eq!(error.summary().errors().len(), 2, "the items are errors all the same");
    });
}

#[test]
fn a_fatal_error_ends_a_run_that_collects_the_others() {
    on_every_runtime(|cx| async move {
        let ended = Pipeline::from_try_stream(
            "lines",
            futures::stream::iter([Ok(1), Err("bad line".to_owned()), Ok(2), Err("gone".into())]),
        )
        .on_error(COLLECT)
        .fatal_if(|error| error == "gone")
        .collect(&cx)
        .await;
        let error = ended.unwrap_err();
        assert_eq!(error.error().unwrap(), "gone");
        assert_eq!(error.summary().errors().len(), 1);

        let panics = |_: &Error| planned_panic(1);
        let source = Pipeline::from_iter("numbers", 0..3).on_error(COLLECT).fatal_if(panics);
        let error = source.map("fail", |_| Err::<(), _>(Error::new())).run(&cx).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Panicked { .. }), "{error}");
    });
}
