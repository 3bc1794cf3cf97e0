use super::runtimes::{Error, on_paused_clock};
use std::time::Duration;
use tidegate_pipeline::{Pipeline, Stage, StageKind};
use tokio::time::sleep;

async fn after(millis: u64, n: u32) -> Result<u32, Error> {
    sleep(Duration::from_millis(millis)).await;
    Ok(n)
}

#[test]
fn the_slow_stage_is_named_as_the_bottleneck() {
    on_paused_clock(|cx| async move {
        let pipeline = Pipeline::from_iter("numbers", 0..200)
            .map_async(Stage::new("fetch").concurrency(8).capacity(4), |n| after(10, n))
            .map_async(Stage::new("slow").concurrency(2).capacity(4), |n| after(10, n))
            .map_async(Stage::new("last").concurrency(8).capacity(4), |n| after(10, n));
        let summary = pipeline.run(&cx).await.unwrap();
        let slow = summary.bottleneck().unwrap();
        assert_eq!((slow.name.as_str(), slow.kind), ("slow", StageKind::MapAsync));
        assert_eq!(summary.elapsed(), Duration::from_millis(1020));
        // Two slots, 200 items of 10 ms: busy all the time but for the first and last item.
        assert_eq!(slow.busy, Duration::from_secs(2));
        let fetch = &summary.stages()[1];
        assert!(fetch.blocked > fetch.busy, "it waits for room: {summary}");
        let last = &summary.stages()[3];
        assert!(last.starved > last.busy, "it waits for items: {summary}");
        assert_eq!(fetch.max_queued, 4);
        let table = summary.to_string();
        assert!(table.contains("bottleneck: slow, its 2 slots are busy 98 %"), "{table}");
        assert_eq!(table.lines().count(), 8, "{table}");
    });
}

#[test]
fn a_slow_stream_is_the_bottleneck_itself() {
    on_paused_clock(|cx| async move {
        let stream = futures::stream::unfold(0, |n| async move {
            sleep(Duration::from_millis(10)).await;
            (n < 20).then_some((n, n + 1))
        });
        let summary = Pipeline::from_stream("walk", stream)
            .map_async(Stage::new("fetch").concurrency(8), |n| after(10, n))
            .run(&cx)
            .await
            .unwrap();
        assert_eq!(summary.bottleneck().unwrap().name.as_str(), "walk");
        assert!(summary.to_string().contains("wait for its stream"), "{summary}");
    });
}

#[test]
fn a_slow_consumer_is_the_bottleneck() {
    on_paused_clock(|cx| async move {
        let pipeline = Pipeline::from_iter("numbers", 0..50)
            .map_async(Stage::new("fetch").concurrency(2), |n| after(1, n))
            .sink(Stage::new("write").capacity(2));
        let stats = pipeline.stats();
        let summary = pipeline
            .for_each(&cx, |n| {
                let stats = &stats;
                async move {
                    after(10, n).await?;
                    let now = stats.snapshot();
                    assert!(now.delivered() <= u64::from(n), "the live numbers lag, not lead");
                    assert!(now.elapsed() >= Duration::from_millis(10));
                    Ok(())
                }
            })
            .await
            .unwrap();
        assert_eq!(summary.bottleneck().unwrap().name.as_str(), "write");
        assert_eq!(summary.stages()[2].busy, Duration::from_millis(500));
    });
}
