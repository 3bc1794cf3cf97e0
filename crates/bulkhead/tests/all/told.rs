//! What a bulkhead says of itself.

use crate::{SECOND, bulkhead, poll, waiter};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tidegate_bulkhead::{AcquireError, Bulkhead, Event};
use tidegate_core::{Cx, inspect::Snapshot, scope};
use tidegate_testkit::{advance, settle};

#[tidegate_testkit::test]
async fn a_snapshot_names_who_holds_and_who_waits() {
    let bulkhead = Bulkhead::builder(2).name("backend").track_holders().build().unwrap();
    let job = scope("app", async |cx: Cx<Infallible>| {
        let (first, second) = (bulkhead.clone(), bulkhead.clone());
        let holds = cx.spawn("holds", async move {
            let _permit = first.acquire_many(2).await.unwrap();
            std::future::pending::<()>().await;
            Ok(())
        });
        settle().await;
        cx.spawn("waits", async move {
            drop(second.acquire().await.unwrap());
            Ok(())
        });
        settle().await;
        advance(SECOND).await;
        let text = cx.tree().to_string();
        assert!(text.contains("permits") && text.contains("backend"), "{text}");
        assert!(text.contains("told.rs"), "where it waits: {text}");
        let all = Snapshot::take();
        let named = |resource: &&tidegate_core::inspect::ResourceInfo| {
            resource.name().as_str() == "backend"
        };
        let resource = all.resources().iter().find(named).unwrap();
        assert_eq!(resource.kind(), "bulkhead");
        let details = resource.details();
        for said in [("in use", "2"), ("waiting", "1"), ("holders", "1"), ("oldest", "1s")] {
            assert!(details.iter().any(|(key, value)| (*key, &**value) == said), "{details:?}");
        }
        assert_eq!(resource.holders().len(), 1);
        drop(holds);
        cx.cancel("enough was seen");
        Ok(())
    });
    job.await.unwrap_err();
    assert_eq!(bulkhead.in_use(), 0);
}

#[tidegate_testkit::test]
async fn two_that_wait_for_each_other_are_found() {
    let bulkheads =
        ["a", "b"].map(|name| Bulkhead::builder(1).name(name).track_holders().build().unwrap());
    let job = scope("app", async |cx: Cx<Infallible>| {
        for (from, to) in [(0, 1), (1, 0)] {
            let bulkheads = bulkheads.clone();
            cx.spawn(format!("{from} to {to}"), async move {
                let _from = bulkheads[from].acquire().await.unwrap();
                settle().await;
                let _to = bulkheads[to].acquire().await.unwrap();
                Ok(())
            });
        }
        settle().await;
        settle().await;
        assert_eq!(cx.tree().deadlocks().len(), 1);
        cx.cancel("it would wait for ever");
        Ok(())
    });
    job.await.unwrap_err();
}

#[test]
fn its_debug_says_what_it_is() {
    let bulkhead = Bulkhead::builder(4).name("backend").build().unwrap();
    let text = format!("{bulkhead:?}");
    assert!(text.contains("backend") && text.contains("capacity: 4"), "{text}");
    assert!(format!("{:?}", bulkhead.try_acquire_many(2).unwrap()).contains('2'));
    assert!(format!("{:?}", bulkhead.try_acquire_ref(3).unwrap()).contains('3'));
}

#[tidegate_testkit::test]
async fn an_observer_hears_what_happens() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&heard);
    let bulkhead = Bulkhead::builder(2)
        .max_waiting(1)
        .observer(move |event| record.lock().unwrap().push(*event))
        .build()
        .unwrap();
    let permit = bulkhead.try_acquire_many(2).unwrap();
    bulkhead.try_acquire().unwrap_err();
    let mut first = waiter(&bulkhead, 1);
    assert!(poll(Box::pin(bulkhead.acquire()).as_mut()).is_ready());
    advance(SECOND).await;
    drop(permit);
    let _permit = crate::end(&mut first).unwrap();
    let quitter = waiter(&bulkhead, 2);
    drop(quitter);
    let _closed = waiter(&bulkhead, 2);
    bulkhead.resize(3).unwrap();
    bulkhead.resize(3).unwrap();
    bulkhead.resize(2).unwrap();
    let _waits = waiter(&bulkhead, 2);
    bulkhead.close();
    let full = AcquireError::QueueFull { waiting: 1, retry_after: None };
    let expected = [
        Event::Rejected { weight: 1, retry_after: None },
        Event::Waits { weight: 1, waiting: 1 },
        Event::Failed { weight: 1, error: full },
        Event::Entered { weight: 1, waited: SECOND },
        Event::Waits { weight: 2, waiting: 1 },
        Event::Cancelled { weight: 2 },
        Event::Waits { weight: 2, waiting: 1 },
        Event::Resized { from: 2, to: 3 },
        Event::Entered { weight: 2, waited: std::time::Duration::ZERO },
        Event::Resized { from: 3, to: 2 },
        Event::Waits { weight: 2, waiting: 1 },
        Event::Closed { in_use: 3, waiting: 1 },
        Event::Failed { weight: 2, error: AcquireError::Closed },
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// It may ask the bulkhead something, or panic.
#[test]
fn an_observer_may_do_what_it_likes() {
    let me = Arc::new(Mutex::new(None::<Bulkhead>));
    let weak = Arc::downgrade(&me);
    let observed = Bulkhead::builder(1)
        .observer(move |_| {
            let bulkhead = weak.upgrade().and_then(|me| me.lock().unwrap().clone());
            assert_eq!(bulkhead.unwrap().stats().capacity, 7, "a panic of its own");
        })
        .build()
        .unwrap();
    *me.lock().unwrap() = Some(observed.clone());
    let permit = observed.try_acquire().unwrap();
    observed.try_acquire().unwrap_err();
    let mut waits = waiter(&observed, 1);
    drop(permit);
    assert!(poll(waits.as_mut()).is_ready());
    drop(bulkhead(1));
}
