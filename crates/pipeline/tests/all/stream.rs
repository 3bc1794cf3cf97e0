use super::{
    ledger::{Item, Ledger},
    runtimes::{Error, on_every_runtime},
};
use futures::StreamExt;
use tidegate_core::Cx;
use tidegate_pipeline::{Pipeline, Stage};

fn items(ledger: &Ledger, count: usize) -> Pipeline<Item, Error> {
    let stage = |name| Stage::new(name).concurrency(3).capacity(4).batch(2);
    Pipeline::from_iter("items", ledger.items(count))
        .map_async(stage("async").ordered(), |item| async move {
            tokio::task::yield_now().await;
            Ok(item)
        })
        .map_blocking(stage("blocking").ordered(), || (), |(), item| Ok(item))
        .sink(Stage::new("sink").capacity(4).batch(3))
}

#[test]
fn the_stream_has_every_result_and_then_the_summary() {
    on_every_runtime(|cx| async move {
        let ledger = Ledger::default();
        let mut stream = items(&ledger, 300).stream(&cx);
        let mut next = 0;
        while let Some(item) = stream.next().await {
            assert_eq!(item.unwrap().id, next);
            next += 1;
            assert!(stream.summary().is_none());
        }
        assert_eq!(next, 300);
        let summary = stream.summary().unwrap();
        assert_eq!(summary.delivered(), 300);
        assert!(stream.next().await.is_none(), "an ended stream stays ended");
    });
}

#[test]
fn the_stream_ends_with_the_error_of_the_run() {
    on_every_runtime(|cx| async move {
        let ledger = Ledger::default();
        let mut stream = items(&ledger, 300)
            .map("check", |item| if item.id == 99 { Err("odd".to_owned()) } else { Ok(item) })
            .stream(&cx);
        let mut seen = 0;
        let error = loop {
            match stream.next().await {
                Some(Ok(item)) => {
                    assert_eq!(item.id, seen);
                    seen += 1;
                }
                Some(Err(error)) => break error,
                None => panic!("the stream has ended without its error"),
            }
        };
        assert_eq!(error.to_string(), "stage `check`, item 99: odd");
        assert_eq!(error.summary().delivered(), seen as u64);
        assert!(error.summary().stats().is_conserved());
        assert!(stream.next().await.is_none());
        assert_eq!(ledger.alive(), 0);
    });
}

#[test]
fn dropping_the_stream_cancels_the_run_and_frees_everything() {
    on_every_runtime(|_| async move {
        for taken in [0, 1, 2, 10, 100] {
            let ledger = Ledger::default();
            let stats = tidegate_core::scope("inner", async |cx: Cx<Error>| {
                let pipeline = items(&ledger, usize::MAX);
                let stats = pipeline.stats();
                let stream = pipeline.stream(&cx);
                let taking = stream.take(taken).filter(|item| std::future::ready(item.is_ok()));
                assert_eq!(taking.count().await, taken);
                Ok(stats)
            })
            .await
            .unwrap()
            .snapshot();
            assert_eq!(ledger.alive(), 0, "the scope has waited for every worker");
            assert!(stats.is_conserved(), "{stats}");
            assert_eq!(stats.delivered(), taken as u64, "{stats}");
        }
    });
}

#[test]
fn the_stream_of_a_cancelled_scope_ends_with_the_cause() {
    on_every_runtime(|_| async move {
        let ledger = Ledger::default();
        let scope = tidegate_core::scope("inner", async |cx: Cx<Error>| {
            let mut stream = items(&ledger, usize::MAX).stream(&cx);
            let mut seen = 0;
            while let Some(item) = stream.next().await {
                match item {
                    Ok(_) => seen += 1,
                    Err(error) => {
                        assert!(error.cause().unwrap().to_string().contains("halt"), "{error}");
                        return Ok(seen);
                    }
                }
                if seen == 10 {
                    cx.cancel("halt");
                }
            }
            panic!("the stream has ended without its error");
        });
        assert!(scope.await.unwrap() >= 10);
        assert_eq!(ledger.alive(), 0);
    });
}
