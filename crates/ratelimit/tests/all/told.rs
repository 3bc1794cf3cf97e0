//! What a limiter says of itself.

use crate::{SECOND, manual, poll};
use std::convert::Infallible;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_core::{Cx, inspect::Snapshot, scope};
use tidegate_ratelimit::{Event, Quota, Rate, RateLimiter};
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

#[test]
fn an_observer_hears_what_happens() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (builder, clock) = manual();
    let record = Arc::clone(&heard);
    let builder = builder.observer(move |event| record.lock().unwrap().push(*event));
    let limiter = builder.burst(2).max_waiters(1).build().unwrap();
    limiter.try_acquire(2).unwrap();
    limiter.try_acquire(1).unwrap_err();
    let mut waits = Box::pin(limiter.acquire(1));
    assert!(poll(waits.as_mut()).is_pending());
    limiter.reserve(1).unwrap_err();
    limiter.reserve_within(1, SECOND).unwrap_err();
    limiter.try_acquire(3).unwrap_err();
    clock.advance(SECOND);
    assert!(poll(waits.as_mut()).is_ready());
    let quitter = limiter.reserve(1).unwrap();
    clock.advance(SECOND);
    drop(quitter);
    limiter.set_burst(3).unwrap();
    let [one, two] = [2, 3].map(|burst| Quota::new(Rate::per_second(1), burst).into());
    let after = |seconds| SECOND * seconds;
    let expected = [
        Event::Denied { cost: 1, retry_after: Some(after(1)) },
        Event::Waits { cost: 1, delay: after(1), waiting: 1 },
        Event::TurnedAway { cost: 1, waiting: 1 },
        Event::TooLate { cost: 1, retry_after: Some(after(2)) },
        Event::Denied { cost: 3, retry_after: None },
        Event::Served { cost: 1, waited: after(1) },
        Event::Waits { cost: 1, delay: after(1), waiting: 1 },
        Event::Served { cost: 1, waited: after(1) },
        Event::Cancelled { cost: 1 },
        Event::Refunded { cost: 1 },
        Event::Changed { from: one, to: two },
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// It may ask the limiter something, or panic.
#[test]
fn an_observer_may_do_what_it_likes() {
    let (builder, clock) = manual();
    let me = Arc::new(Mutex::new(None::<RateLimiter<_>>));
    let weak = Arc::downgrade(&me);
    let limiter = builder
        .burst(1)
        .observer(move |_| {
            if let Some(me) = weak.upgrade() {
                let limiter = me.lock().unwrap().clone();
                assert_eq!(limiter.unwrap().stats().timers, 7, "a panic of its own");
            }
        })
        .build()
        .unwrap();
    *me.lock().unwrap() = Some(limiter.clone());
    limiter.try_acquire(1).unwrap();
    limiter.try_acquire(1).unwrap_err();
    let mut waits = Box::pin(limiter.acquire(1));
    assert!(poll(waits.as_mut()).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(poll(waits.as_mut()).is_ready());
}
