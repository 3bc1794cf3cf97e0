//! What a limiter says of itself.

use crate::{SECOND, manual};
use std::convert::Infallible;
use tidegate_core::{Cx, inspect::Snapshot, scope};
use tidegate_ratelimit::{Rate, RateLimiter};
use tidegate_testkit::settle;

#[tidegate_testkit::test]
async fn a_snapshot_names_the_limiter_and_who_waits_for_it() {
    let limiter =
        RateLimiter::builder(Rate::per_second(1)).burst(1).name("billing").build().unwrap();
    limiter.try_acquire(1).unwrap();
    let job = scope("app", async |cx: Cx<Infallible>| {
        let other = limiter.clone();
        cx.spawn("charge", async move {
            other.acquire(1).await.unwrap();
            Ok(())
        });
        settle().await;
        let text = cx.tree().to_string();
        assert!(text.contains("tokens") && text.contains("billing"), "{text}");
        assert!(text.contains("told.rs"), "where it waits: {text}");
        let all = Snapshot::take();
        let resource =
            all.resources().iter().find(|resource| resource.name().as_str() == "billing").unwrap();
        assert!(
            resource.location().file().ends_with("told.rs"),
            "where it was built: {resource:?}"
        );
        let text = all.to_string();
        assert!(text.contains("1 per 1s, burst 1") && text.contains("waiting"), "{text}");
        Ok(())
    });
    job.await.unwrap();
}

#[test]
fn peek_takes_nothing() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(4).build().unwrap();
    limiter.try_acquire(1).unwrap();
    for _ in 0..10 {
        let peek = limiter.peek();
        assert_eq!((peek.remaining, peek.possible, peek.waiting), (3, 4, 0));
        assert_eq!(peek.full_after, Some(SECOND));
    }
}

#[test]
fn its_debug_says_what_it_is() {
    let (builder, _clock) = manual();
    let limiter = builder.burst(4).name("billing").build().unwrap();
    let text = format!("{limiter:?}");
    assert!(text.contains("billing") && text.contains("burst: 4"), "{text}");
    assert!(format!("{:?}", limiter.try_acquire(2).unwrap()).contains('2'));
    assert!(format!("{:?}", limiter.reserve(2).unwrap()).contains("Passes"));
}
