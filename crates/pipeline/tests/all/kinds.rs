use super::runtimes::{Error, on_every_runtime};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};
use tidegate_pipeline::{Pipeline, Stage, StageKind};

#[test]
fn every_kind_of_stage_passes_every_item() {
    on_every_runtime(|cx| async move {
        let looked = Arc::new(AtomicU64::new(0));
        let looks = Arc::clone(&looked);
        let pipeline = Pipeline::from_iter("numbers", 0..5000_u64)
            .named("kinds")
            .map(Stage::new("map").concurrency(2), |n| Ok::<_, Error>(n + 1))
            .filter_map("filter_map", |n| Ok((n % 5 != 0).then_some(n)))
            .inspect("inspect", move |_| {
                looks.fetch_add(1, SeqCst);
            })
            .map_async(Stage::new("map_async").concurrency(16), |n| async move {
                tokio::task::yield_now().await;
                Ok(n)
            })
            .filter_map_async(Stage::new("filter_map_async").concurrency(4), |n| async move {
                Ok((n % 7 != 0).then_some(n))
            })
            .map_blocking(Stage::new("map_blocking").concurrency(2), || (), |(), n| Ok(n))
            .filter_map_blocking(
                "filter_map_blocking",
                || (),
                |(), n| Ok((n % 11 != 0).then_some(n)),
            )
            .filter("filter", |n| n % 13 != 0);
        assert!(format!("{pipeline:?}").contains("filter_map_blocking"));
        let stats = pipeline.stats();
        assert_eq!(stats.snapshot().stages().len(), 10);
        let (mut items, summary) = pipeline.collect(&cx).await.unwrap();
        items.sort_unstable();
        let expected = (1..=5000).filter(|n| [5, 7, 11, 13].iter().all(|p| n % p != 0));
        assert_eq!(items, expected.collect::<Vec<_>>());
        assert_eq!(looked.load(SeqCst), 4000);
        let kinds: Vec<_> = summary.stages().iter().map(|stage| stage.kind).collect();
        assert_eq!(kinds[0], StageKind::Source);
        assert_eq!(kinds[9], StageKind::Sink);
        assert_eq!(summary.delivered() + summary.filtered(), 5000);
        assert_eq!(stats.snapshot().delivered(), summary.delivered());
    });
}

#[test]
fn blocking_workers_keep_their_state_between_batches() {
    on_every_runtime(|cx| async move {
        let (items, _) = Pipeline::from_iter("numbers", 0..100_u64)
            .map_blocking(
                Stage::new("sum").batch(3),
                || 0,
                |sum, n| {
                    *sum += n;
                    Ok::<_, Error>(*sum)
                },
            )
            .collect(&cx)
            .await
            .unwrap();
        assert_eq!(items.last(), Some(&4950));
    });
}
