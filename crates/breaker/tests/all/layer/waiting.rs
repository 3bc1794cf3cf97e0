//! Who waits for the inner service, and for how long the breaker knows of it.

use super::{Inner, OnReady, breaker, in_flight, poll_ready, waited};
use crate::{fail, poll};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};
use tidegate_breaker::{
    Breaker, BreakerError, BreakerLayer, BreakerService, ManualClock, layer::Single,
};
use tower::{Layer, Service};

/// Counts how often it was woken.
#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// The inner service has no place to give, and may not have one for long: its callers do not wait for nothing.
#[test]
fn who_waits_for_the_inner_service_is_woken_when_the_breaker_opens() {
    type Opens = fn(&Breaker<ManualClock>);
    let opens: [(&str, Opens); 2] = [
        ("it fails", |breaker| fail(breaker, 1)),
        ("by force", |breaker| breaker.handle().force_open()),
    ];
    for (name, opens) in opens {
        let (breaker, _clock) = breaker();
        let inner = Inner::default();
        let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
        let woken = [(); 2].map(|()| Arc::<Woken>::default());
        for woken in &woken {
            inner.says(Poll::Pending);
            let waker = Waker::from(Arc::clone(woken));
            assert!(service.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        }
        opens(&breaker);
        let count = |woken: &Arc<Woken>| woken.0.load(SeqCst);
        assert_eq!(woken.each_ref().map(count), [0, 1], "{name}: who has asked last");
        assert!(poll_ready(&mut service).is_ready());
        let mut call = pin!(service.call(1));
        assert!(matches!(poll(call.as_mut()), Poll::Ready(Err(BreakerError::Open(_)))), "{name}");
        assert_eq!((inner.polls.get(), inner.calls.get()), (2, 0), "{name}");
    }
}

/// It has opened between the look at it and the wait: that wait would have no end.
#[test]
fn who_would_wait_after_it_has_opened_is_told_at_once() {
    let (breaker, _clock) = breaker();
    let opens = breaker.handle();
    let mut service = BreakerLayer::new(breaker).layer(OnReady(move |_: &mut Context<'_>| {
        opens.force_open();
        Poll::Pending
    }));
    assert!(poll_ready(&mut service).is_ready());
    let mut call = pin!(service.call(1));
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Err(BreakerError::Open(_)))));
}

/// A waker is kept for as long as somebody waits.
#[test]
fn who_waits_no_more_is_not_kept() {
    type Guarded = BreakerService<Inner, Single<ManualClock>>;
    type Ends = fn(&Inner, Guarded) -> Option<Guarded>;
    let ends: [(&str, Ends); 3] = [
        ("ready", |_, mut service| {
            assert!(poll_ready(&mut service).is_ready());
            Some(service)
        }),
        ("broken", |inner, mut service| {
            inner.says(Poll::Ready(Err("broken")));
            assert!(poll_ready(&mut service).is_ready());
            Some(service)
        }),
        ("dropped", |_, service| {
            drop(service);
            None
        }),
    ];
    for (name, ends) in ends {
        let (breaker, _clock) = breaker();
        let inner = Inner::default();
        let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
        let woken = Arc::<Woken>::default();
        inner.says(Poll::Pending);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(service.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 2);
        let _service = ends(&inner, service);
        assert_eq!(Arc::strong_count(&woken), 1, "{name}");
        breaker.handle().force_open();
        assert_eq!(woken.0.load(SeqCst), 0, "{name}");
    }
}

/// Wakes nobody, and cannot be dropped in peace.
struct Undroppable;

impl Wake for Undroppable {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Undroppable {
    fn drop(&mut self) {
        panic!("of a waker");
    }
}

#[tidegate_testkit::test]
async fn a_waker_that_cannot_be_dropped_keeps_no_result_and_no_place() {
    for is_dropped in [false, true] {
        let (breaker, _clock) = waited();
        let inner = Inner::default();
        let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
        inner.says(Poll::Pending);
        let waker = Waker::from(Arc::new(Undroppable));
        assert!(service.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(in_flight(&breaker), 1);
        // The last one is that of the breaker.
        drop(waker);
        drop(catch_unwind(AssertUnwindSafe(|| {
            if is_dropped {
                drop(service);
            } else {
                inner.says(Poll::Ready(Err("broken")));
                assert!(poll_ready(&mut service).is_ready());
            }
        })));
        assert_eq!(in_flight(&breaker), 0, "{is_dropped}");
    }
}
