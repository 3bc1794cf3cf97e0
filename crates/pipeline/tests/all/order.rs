use super::runtimes::{Error, on_every_runtime, on_paused_clock};
use std::time::Duration;
use tidegate_pipeline::{Pipeline, Stage};
use tokio::time::{Instant, sleep};

/// One of 16 items takes 80 ms, the others 5 ms.
async fn skewed(n: u64) -> Result<u64, Error> {
    sleep(Duration::from_millis(if n % 16 == 0 { 80 } else { 5 })).await;
    Ok(n)
}

async fn time_of(cx: &tidegate_core::Cx<Error>, stage: Stage) -> (Vec<u64>, Duration) {
    let start = Instant::now();
    let pipeline = Pipeline::from_iter("numbers", 0..128).map_async(stage, skewed);
    let (items, _) = pipeline.collect(cx).await.unwrap();
    (items, start.elapsed())
}

#[test]
fn buffered_head_of_line_blocking_is_gone_with_a_window_larger_than_the_concurrency() {
    on_paused_clock(|cx| async move {
        let stage = || Stage::new("skewed").concurrency(8);
        let (_, unordered) = time_of(&cx, stage()).await;
        let (items, ordered) = time_of(&cx, stage().ordered()).await;
        assert_eq!(items, (0..128).collect::<Vec<_>>());
        assert_eq!(ordered, unordered, "order costs no time");
        let (items, narrow) = time_of(&cx, stage().ordered().window(8)).await;
        assert_eq!(items, (0..128).collect::<Vec<_>>());
        assert!(narrow > ordered * 2, "as `buffered` does: {narrow:?} against {ordered:?}");
    });
}

#[test]
fn ordered_stages_keep_the_order_of_the_input() {
    on_every_runtime(|cx| async move {
        let ordered = |name| Stage::new(name).concurrency(4).ordered();
        let (items, summary) = Pipeline::from_iter("numbers", 0..3000_u64)
            .map(ordered("a").batch(7), |n| {
                if n % 50 == 0 {
                    std::thread::yield_now();
                }
                Ok::<_, Error>(n)
            })
            .filter_map_async(ordered("b"), |n| async move {
                for _ in 0..n % 5 {
                    tokio::task::yield_now().await;
                }
                Ok((n % 3 != 0).then_some(n))
            })
            .map_blocking(ordered("c").batch(3), || (), |(), n| Ok(n))
            .collect(&cx)
            .await
            .unwrap();
        assert_eq!(items, (0..3000).filter(|n| n % 3 != 0).collect::<Vec<_>>());
        assert_eq!(summary.filtered(), 1000);
    });
}

#[test]
fn a_stage_with_a_concurrency_of_one_is_in_order_without_being_asked() {
    on_every_runtime(|cx| async move {
        let (items, _) = Pipeline::from_iter("numbers", 0..2000_u64)
            .map("a", Ok::<_, Error>)
            .map_async("b", |n| async move {
                tokio::task::yield_now().await;
                Ok(n)
            })
            .map_blocking("c", || (), |(), n| Ok(n))
            .collect(&cx)
            .await
            .unwrap();
        assert_eq!(items, (0..2000).collect::<Vec<_>>());
    });
}
