//! The layer keeps the contract of tower, whatever its callers do. Inside is a service that panics if it
//! is called without having been ready.

mod waiting;

use crate::{SECOND, fail, manual, patient, poll, succeed};
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Ready, pending, poll_fn, ready},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tidegate_breaker::{
    Breaker, BreakerError, BreakerLayer, HalfOpen, KeyedBreaker, ManualClock, Settings, State,
    Trip, Verdict,
};
use tidegate_testkit::{FlakyPlan, FlakyService, Seed, advance, cancel_everywhere};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Opens by one failure, closes by one probe.
fn breaker() -> (Breaker<ManualClock>, ManualClock) {
    let (builder, clock) = manual();
    let half_open = HalfOpen::probes(1).lease(5 * SECOND);
    (builder.trip(Trip::consecutive_failures(1)).half_open(half_open).build().unwrap(), clock)
}

/// The same when its wait is over.
fn waited() -> (Breaker<ManualClock>, ManualClock) {
    let (breaker, clock) = breaker();
    fail(&breaker, 1);
    clock.advance(10 * SECOND);
    (breaker, clock)
}

fn in_flight(breaker: &Breaker<ManualClock>) -> usize {
    breaker.stats().probes_in_flight
}

trait Answers: FnMut(u64) -> Ready<Result<u64, Infallible>> + Clone {}
impl<F: FnMut(u64) -> Ready<Result<u64, Infallible>> + Clone> Answers for F {}

/// Returns what it is called with.
fn echo() -> FlakyService<tower::util::ServiceFn<impl Answers>> {
    let plan = FlakyPlan::seeded(Seed::new(1)).build().unwrap();
    FlakyService::new(service_fn(|n: u64| ready(Ok::<_, Infallible>(n))), plan)
}

fn poll_ready<S: Service<u64>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

async fn is_ready<S: Service<u64>>(service: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

type IsReady = Poll<Result<(), &'static str>>;

/// What its parts do is said by others.
#[derive(Clone, Debug, Default)]
struct Inner {
    polls: Rc<Cell<u32>>,
    calls: Rc<Cell<u32>>,
    ready: Rc<RefCell<Vec<IsReady>>>,
}

impl Inner {
    fn says(&self, ready: IsReady) {
        self.ready.borrow_mut().push(ready);
    }
}

impl Service<u64> for Inner {
    type Response = u64;
    type Error = &'static str;
    type Future = Ready<Result<u64, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> IsReady {
        self.polls.set(self.polls.get() + 1);
        self.ready.borrow_mut().pop().unwrap_or(Poll::Ready(Ok(())))
    }

    fn call(&mut self, n: u64) -> Self::Future {
        self.calls.set(self.calls.get() + 1);
        assert_ne!(n, 666, "of the service");
        ready(if n == 0 { Err("zero") } else { Ok(n) })
    }
}

#[tidegate_testkit::test]
async fn tower_resilience_381_an_open_breaker_does_not_poll_the_inner_service() {
    let (breaker, clock) = breaker();
    let inner = Inner::default();
    let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
    fail(&breaker, 1);
    for n in 1..=10 {
        is_ready(&mut service).await.unwrap();
        let error = service.call(n).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(10 * SECOND));
        assert!(matches!(error, BreakerError::Open(open) if open.state == State::Open));
    }
    assert_eq!((inner.polls.get(), inner.calls.get()), (0, 0));
    assert_eq!(breaker.stats().rejected, 10);
    clock.advance(10 * SECOND);
    is_ready(&mut service).await.unwrap();
    assert_eq!(service.call(7).await, Ok(7));
    assert_eq!((inner.polls.get(), inner.calls.get(), breaker.state()), (1, 1, State::Closed));
}

#[tidegate_testkit::test]
async fn poll_ready_reserves_exactly_one() {
    let (breaker, _clock) = waited();
    let inner = Inner::default();
    let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
    for _ in 0..5 {
        inner.says(Poll::Pending);
    }
    for n in 0..10 {
        assert_eq!(poll_ready(&mut service).is_ready(), n >= 5);
        assert_eq!(in_flight(&breaker), 1);
    }
    assert_eq!(service.call(7).await, Ok(7));
    assert_eq!((in_flight(&breaker), breaker.state()), (0, State::Closed));
}

#[tidegate_testkit::test]
async fn a_clone_starts_unreserved() {
    let (breaker, _clock) = waited();
    let mut service = BreakerLayer::new(breaker.clone()).layer(echo());
    is_ready(&mut service).await.unwrap();
    let mut clone = service.clone();
    let called = catch_unwind(AssertUnwindSafe(|| drop(clone.call(1))));
    let message = *called.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("without a `poll_ready`"), "it is the layer that says so: {message}");
    is_ready(&mut clone).await.unwrap();
    let open = clone.call(1).await.unwrap_err();
    assert!(matches!(open, BreakerError::Open(open) if open.state == State::HalfOpen));
    assert_eq!(service.call(2).await, Ok(2));
    is_ready(&mut clone).await.unwrap();
    assert_eq!(clone.call(3).await, Ok(3));
}

#[tidegate_testkit::test]
async fn dropping_a_ready_service_gives_its_place_back() {
    let (breaker, _clock) = waited();
    let mut service = BreakerLayer::new(breaker.clone()).layer(echo());
    is_ready(&mut service).await.unwrap();
    drop(service.clone());
    assert_eq!(in_flight(&breaker), 1, "it is not the clone's");
    drop(service);
    assert_eq!(in_flight(&breaker), 0);
    assert_eq!(breaker.stats().cancelled, 0, "there was no call");
    succeed(&breaker, 1);
    assert_eq!(breaker.state(), State::Closed);
}

#[tidegate_testkit::test]
async fn taking_the_layer_off_a_ready_service_gives_its_place_back() {
    let (breaker, _clock) = waited();
    let mut service = BreakerLayer::new(breaker.clone()).layer(echo());
    is_ready(&mut service).await.unwrap();
    let mut inner = service.into_inner();
    assert_eq!(in_flight(&breaker), 0);
    assert_eq!(inner.call(7).await.unwrap(), 7, "and it is ready still");
}

#[tidegate_testkit::test]
async fn dropping_a_call_is_neutral_and_gives_its_place_back() {
    let (breaker, _clock) = waited();
    let hangs = service_fn(|_: u64| pending::<Result<u64, ()>>());
    let mut service = BreakerLayer::new(breaker.clone()).layer(hangs);
    for polled in [false, true] {
        is_ready(&mut service).await.unwrap();
        let mut call = Box::pin(service.call(1));
        if polled {
            assert!(poll(call.as_mut()).is_pending());
        }
        assert_eq!(in_flight(&breaker), 1);
        drop(call);
        assert_eq!((in_flight(&breaker), breaker.state()), (0, State::HalfOpen));
    }
    assert_eq!(breaker.stats().cancelled, 2);
}

/// It counts as a response would that is this error.
#[tidegate_testkit::test]
async fn an_error_of_readiness_gives_the_place_back_and_is_classified() {
    for verdict in [Verdict::Failure, Verdict::Ignore, Verdict::Success] {
        let (breaker, _clock) = waited();
        let inner = Inner::default();
        let seen = Rc::new(Cell::new(false));
        let see = Rc::clone(&seen);
        let layer =
            BreakerLayer::new(breaker.clone()).classify(move |result: &Result<u64, &str>| {
                see.set(*result == Err("broken"));
                verdict
            });
        let mut service = layer.layer(inner.clone());
        inner.says(Poll::Ready(Err("broken")));
        assert_eq!(is_ready(&mut service).await, Err(BreakerError::Inner("broken")));
        assert!(seen.get());
        assert_eq!(in_flight(&breaker), 0);
        let then = match verdict {
            Verdict::Success => State::Closed,
            Verdict::Failure => State::Open,
            Verdict::Ignore => State::HalfOpen,
        };
        assert_eq!(breaker.state(), then);
        is_ready(&mut service).await.unwrap();
    }
}

/// It took no time, however long the breaker is there.
#[tidegate_testkit::test]
async fn an_error_of_readiness_that_comes_at_once_is_not_slow() {
    let (builder, clock) = manual();
    let breaker = builder.trip(Trip::slow_rate(0.5, SECOND)).min_calls(1).build().unwrap();
    clock.advance(10 * SECOND);
    let inner = Inner::default();
    let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
    for _ in 0..5 {
        inner.says(Poll::Ready(Err("broken")));
        assert_eq!(is_ready(&mut service).await, Err(BreakerError::Inner("broken")));
    }
    let stats = breaker.stats();
    assert_eq!((stats.failed, stats.slow, breaker.state()), (5, 0, State::Closed));
}

/// A service that was ready is called itself: what is left in its place is a clone that is not.
#[tidegate_testkit::test]
async fn the_readied_service_can_be_taken_out() {
    let (breaker, _clock) = waited();
    let mut service = BreakerLayer::new(breaker.clone()).layer(echo());
    is_ready(&mut service).await.unwrap();
    let clone = service.clone();
    let mut readied = mem::replace(&mut service, clone);
    assert_eq!(readied.call(7).await, Ok(7));
    assert_eq!(breaker.state(), State::Closed);
    is_ready(&mut service).await.unwrap();
    assert_eq!(service.call(8).await, Ok(8));
}

/// Ready, and then it has opened: the place is of a time that is over.
#[tidegate_testkit::test]
async fn a_place_from_before_it_opened_is_none() {
    let (breaker, clock) = breaker();
    let inner = Inner::default();
    let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
    is_ready(&mut service).await.unwrap();
    fail(&breaker, 1);
    assert!(matches!(service.call(1).await, Err(BreakerError::Open(_))));
    assert_eq!(inner.calls.get(), 0);

    clock.advance(10 * SECOND);
    is_ready(&mut service).await.unwrap();
    clock.advance(5 * SECOND);
    let other = breaker.try_enter().unwrap();
    assert!(matches!(service.call(1).await, Err(BreakerError::Open(_))), "another has the place");
    drop(other);
    is_ready(&mut service).await.unwrap();
    clock.advance(60 * SECOND);
    assert_eq!(service.call(1).await, Ok(1), "nobody has come for it");
    assert_eq!((breaker.state(), breaker.stats().stale), (State::Closed, 0));
}

/// The same if it is asked again whether it is ready: neither is the inner one asked, nor the lease made longer.
#[tidegate_testkit::test]
async fn a_place_is_neither_kept_too_long_nor_renewed_by_waiting() {
    let (breaker, clock) = breaker();
    let inner = Inner::default();
    let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
    is_ready(&mut service).await.unwrap();
    fail(&breaker, 1);
    is_ready(&mut service).await.unwrap();
    assert_eq!(inner.polls.get(), 1, "the second time it is open");

    clock.advance(10 * SECOND);
    is_ready(&mut service).await.unwrap();
    clock.advance(3 * SECOND);
    is_ready(&mut service).await.unwrap();
    assert!(breaker.try_enter().is_err());
    clock.advance(2 * SECOND);
    assert!(breaker.try_enter().is_ok());
}

/// The lease and the time of a call begin with it, however long the service was ready.
#[tidegate_testkit::test]
async fn a_call_begins_when_it_is_called() {
    let (builder, clock) = manual();
    let trip = Trip::slow_rate(0.5, SECOND);
    let half_open = HalfOpen::probes(1).lease(5 * SECOND);
    let breaker = builder.trip(trip).min_calls(1).half_open(half_open).build().unwrap();
    let mut service = BreakerLayer::new(breaker.clone()).layer(Inner::default());
    is_ready(&mut service).await.unwrap();
    clock.advance(2 * SECOND);
    service.call(1).await.unwrap();
    assert_eq!(breaker.state(), State::Closed);

    let slow = breaker.try_enter().unwrap();
    clock.advance(2 * SECOND);
    slow.success();
    assert_eq!(breaker.state(), State::Open);
    clock.advance(10 * SECOND);
    is_ready(&mut service).await.unwrap();
    clock.advance(4 * SECOND);
    let call = service.call(1);
    clock.advance(SECOND);
    assert_eq!(breaker.stats().probes_in_flight, 1);
    call.await.unwrap();
    assert_eq!(breaker.state(), State::Closed);
}

#[tidegate_testkit::test]
async fn a_fallback_answers_while_it_is_open() {
    let (breaker, _clock) = breaker();
    let layer = BreakerLayer::new(breaker.clone()).fallback(|n: u64, open| {
        if open.retry_after().is_some() { Ok(n + 1000) } else { Err("forced") }
    });
    let mut service = layer.layer(Inner::default());
    let mut ask = async |n| -> Result<u64, &'static str> {
        is_ready(&mut service).await?;
        service.call(n).await
    };
    assert_eq!(ask(7).await, Ok(7));
    assert_eq!(ask(0).await, Err("zero"), "an error of the service is one");
    assert_eq!(ask(7).await, Ok(1007));
    breaker.handle().force_open();
    assert_eq!(ask(7).await, Err("forced"));
}

/// In `poll_ready`, in `call`, in the future, and in what classifies: each is a failure of the call.
#[test]
fn panics_are_failures_wherever_they_are() {
    fn panics<R>(part: impl FnOnce() -> R) {
        assert!(catch_unwind(AssertUnwindSafe(part)).is_err());
    }
    let of_future = |n: u64| async move {
        assert_ne!(n, 1, "of the future");
        Ok::<_, ()>(n)
    };
    let check = |place: &str, act: &dyn Fn(Breaker<ManualClock>)| {
        let (breaker, _clock) = breaker();
        act(breaker.clone());
        let stats = breaker.stats();
        assert_eq!((stats.panicked, stats.state), (1, State::Open), "{place}");
    };
    check("poll_ready", &|breaker| {
        let ready = |_: &mut Context<'_>| -> Poll<Result<(), ()>> { panic!("of readiness") };
        let mut service = BreakerLayer::new(breaker).layer(OnReady(ready));
        panics(|| poll_ready(&mut service));
    });
    check("call", &|breaker| {
        let mut service = BreakerLayer::new(breaker).layer(Inner::default());
        assert!(poll_ready(&mut service).is_ready());
        panics(|| drop(service.call(666)));
    });
    check("future", &|breaker| {
        let mut service = BreakerLayer::new(breaker).layer(service_fn(of_future));
        assert!(poll_ready(&mut service).is_ready());
        let mut call = pin!(service.call(1));
        panics(|| poll(call.as_mut()).is_ready());
    });
    check("classify", &|breaker| {
        let classify = |_: &Result<u64, ()>| -> Verdict { panic!("of the closure") };
        let mut service =
            BreakerLayer::new(breaker).classify(classify).layer(service_fn(of_future));
        assert!(poll_ready(&mut service).is_ready());
        let mut call = pin!(service.call(2));
        panics(|| poll(call.as_mut()).is_ready());
    });
}

/// Its readiness is a closure.
struct OnReady<F>(F);

impl<F: FnMut(&mut Context<'_>) -> Poll<Result<(), ()>>> Service<u64> for OnReady<F> {
    type Response = u64;
    type Error = ();
    type Future = Ready<Result<u64, ()>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        (self.0)(cx)
    }

    fn call(&mut self, n: u64) -> Self::Future {
        ready(Ok(n))
    }
}

/// Neither the service, nor requests, responses or futures have to be `Send` or `'static`.
#[tidegate_testkit::test]
async fn nothing_has_to_be_send_or_static() {
    let (breaker, _clock) = breaker();
    let word = String::from("tide");
    let rc = Rc::new(Cell::new(0));
    let inner = service_fn(|suffix: &str| {
        rc.set(rc.get() + 1);
        let (said, rc) = (format!("{word}{suffix}"), Rc::clone(&rc));
        async move {
            rc.set(rc.get() + 1);
            Ok::<_, Rc<str>>(said)
        }
    });
    let suffix = String::from("gate");
    let mut service = BreakerLayer::new(breaker).layer(inner);
    let said = service.ready().await.unwrap().call(suffix.as_str()).await.unwrap();
    assert_eq!((said.as_str(), rc.get()), ("tidegate", 2));
}

#[test]
fn a_service_gives_its_place_back_at_every_await() {
    let make = || {
        let half_open = HalfOpen::probes(1).lease(3600 * SECOND);
        patient().trip(Trip::consecutive_failures(1)).half_open(half_open).build().unwrap()
    };
    let op = async |breaker: &Breaker| {
        fail(breaker, 1);
        advance(10 * SECOND).await;
        let plan = FlakyPlan::seeded(Seed::new(1)).readiness_delays(1.0, SECOND).build().unwrap();
        let sleeps = service_fn(|n: u64| async move {
            tokio::time::sleep(SECOND).await;
            Ok::<_, Infallible>(n)
        });
        let mut service = BreakerLayer::new(breaker.clone()).layer(FlakyService::new(sleeps, plan));
        for n in 1..3 {
            service.ready().await.unwrap().call(n).await.unwrap();
        }
    };
    let after = async |breaker: &Breaker, point| {
        let stats = breaker.stats();
        assert_eq!((stats.probes_in_flight, stats.failed), (0, 1), "{point}");
        advance(10 * SECOND).await;
        succeed(breaker, 1);
        assert_eq!(breaker.state(), State::Closed, "{point}");
    };
    cancel_everywhere(make, op, after).assert_covered(5);
}

#[test]
fn its_debug_says_what_it_is() {
    let (breaker, _clock) = breaker();
    let layer = BreakerLayer::new(breaker).fallback(|n: u64, _| Ok::<_, &'static str>(n));
    let mut service = layer.layer(Inner::default());
    assert!(poll_ready(&mut service).is_ready());
    let text = format!("{layer:?} {service:?}");
    assert!(text.contains("db") && text.contains("has_place: true"), "{text}");
    assert!(format!("{:?}", service.call(1)).contains("ResponseFuture"));
    service.get_mut().calls.set(5);
    assert_eq!(service.get_ref().calls.get(), 5);
}

/// Each key has its own; the inner service is asked for all of them, and its errors of readiness are nobody's.
#[tidegate_testkit::test]
async fn requests_meet_the_breaker_of_their_key() {
    let settings = Settings::new().trip(Trip::consecutive_failures(1));
    let breakers = KeyedBreaker::<u64>::builder("shards").settings(settings).build().unwrap();
    let inner = Inner::default();
    let layer = BreakerLayer::keyed(breakers.clone(), |n: &u64| n / 100)
        .classify(|result: &Result<u64, &str>| match result {
            Ok(n) if n % 100 != 99 => Verdict::Success,
            _ => Verdict::Failure,
        })
        .fallback(|n: u64, _| Ok(n + 1000));
    let mut service = layer.layer(inner.clone());
    let mut ask = async |n| -> Result<u64, &'static str> {
        is_ready(&mut service).await?;
        service.call(n).await
    };
    assert_eq!(ask(1).await, Ok(1));
    inner.says(Poll::Ready(Err("broken")));
    assert_eq!(ask(1).await, Err("broken"));
    assert_eq!(ask(99).await, Ok(99), "and that was too much");
    assert_eq!((ask(1).await, ask(101).await), (Ok(1001), Ok(101)));
    assert_eq!(breakers.get(&0).unwrap().stats().rejected, 1);
    assert_eq!(breakers.get(&1).unwrap().state(), State::Closed);
    assert!(format!("{service:?}").contains("ByKey"));
}

/// A service that was ready while it was open, and is called much later, is answered by how things are then.
#[tidegate_testkit::test]
async fn a_refusal_that_was_kept_says_how_it_is_now() {
    let (breaker, clock) = breaker();
    let mut service = BreakerLayer::new(breaker.clone()).layer(Inner::default());
    let mut refused = async |breaker: &Breaker<ManualClock>, act: fn(&Breaker<ManualClock>)| {
        is_ready(&mut service).await.unwrap();
        act(breaker);
        match service.call(1).await {
            Err(BreakerError::Open(open)) => (open.state, open.retry_after()),
            said => panic!("{said:?}"),
        }
    };
    fail(&breaker, 1);
    clock.advance(4 * SECOND);
    let now = refused(&breaker, |_| {}).await;
    assert_eq!(now, (State::Open, Some(6 * SECOND)));
    let now = refused(&breaker, |breaker| breaker.handle().force_open()).await;
    assert_eq!(now, (State::ForcedOpen, None));
    let now = refused(&breaker, |breaker| breaker.handle().reset()).await;
    assert_eq!(
        now,
        (State::ForcedOpen, Some(std::time::Duration::ZERO)),
        "it can be tried again at once"
    );
    assert_eq!(breaker.stats().rejected, 3);
}
