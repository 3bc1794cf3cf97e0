use super::{
    ledger::planned_panic,
    runtimes::{Error, on_every_runtime},
};
use futures::stream;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};
use tidegate_pipeline::{OnError, Pipeline, Reason};

#[test]
fn an_empty_source_ends_the_run() {
    on_every_runtime(|cx| async move {
        let (items, summary) = Pipeline::<u32, Error>::from_stream("none", stream::empty())
            .collect(&cx)
            .await
            .unwrap();
        assert!(items.is_empty());
        assert_eq!(summary.bottleneck().map_or(0, |stage| stage.items_in), 0);
    });
}

#[test]
fn an_error_of_a_source_is_a_failed_item() {
    on_every_runtime(|cx| async move {
        let source = || {
            let items = (0..100).map(|n| if n % 4 == 3 { Err(format!("no {n}")) } else { Ok(n) });
            Pipeline::from_try_stream("entries", stream::iter(items))
        };
        let (items, summary) =
            source().on_error(OnError::Collect { max: 2 }).collect(&cx).await.unwrap();
        assert_eq!(items, (0..100).filter(|n| n % 4 != 3).collect::<Vec<_>>());
        assert_eq!((summary.failed(), summary.stages()[0].items_in), (25, 100));
        assert_eq!(summary.errors()[1].to_string(), "stage `entries`, item 7: no 7");
        let error = source().run(&cx).await.unwrap_err();
        assert_eq!(error.to_string(), "stage `entries`, item 3: no 3");
    });
}

/// A source of nothing but errors has an end to its turns, too.
#[test]
fn endless_errors_do_not_starve_the_run() {
    on_every_runtime(|cx| async move {
        let done = Arc::new(AtomicBool::new(false));
        let errors_came = Arc::new(AtomicUsize::new(0));
        let (end, count) = (Arc::clone(&done), Arc::clone(&errors_came));
        let other = cx.spawn("other", async move {
            while errors_came.load(SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
            done.store(true, SeqCst);
            Ok(())
        });
        let errors = stream::poll_fn(move |_| {
            count.fetch_add(1, SeqCst);
            Poll::Ready((!end.load(SeqCst)).then(|| Err::<u32, _>(Error::from("no"))))
        });
        let summary = Pipeline::from_try_stream("errors", errors)
            .on_error(OnError::Collect { max: 1 })
            .run(&cx)
            .await
            .unwrap();
        assert_eq!(summary.errors().len(), 1);
        assert!(summary.failed() > 1);
        other.await.unwrap();
    });
}

#[test]
fn a_panic_of_the_source_ends_the_run() {
    on_every_runtime(|cx| async move {
        let items = (0..).inspect(|n| {
            if *n == 30 {
                planned_panic(30)
            }
        });
        let pipeline = Pipeline::from_iter("items", items)
            .on_error(OnError::Collect { max: 9 })
            .map("a", Ok::<usize, Error>);
        let error = pipeline.run(&cx).await.unwrap_err();
        let Reason::Panicked { stage, message } = error.reason() else { panic!("{error}") };
        assert_eq!((stage.as_str(), message.as_str()), ("items", "planned panic of 30"));
        assert!(error.summary().stats().is_conserved());
    });
}
