//! Limits that find themselves, around a bulkhead.

use crate::{SECOND, assert_idle};
use std::sync::{Arc, Mutex};
use std::{iter::from_fn, time::Duration};
use tidegate_bulkhead::{
    Aimd, Bulkhead, ConfigError, Event, Gradient2, Held, KeyedBulkhead, Limit, LimitAlgorithm,
    Outcome, Permit, Sample, TryAcquireError, Vegas,
};
use tokio::time::{advance, sleep};

const MS: Duration = Duration::from_millis(1);

/// Notes what it is told, and has one permit more by each sample.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<Sample>>>);

#[derive(Debug)]
struct Noting(Notes, u32);

impl Limit for Notes {
    fn start(&self, capacity: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        Ok(Box::new(Noting(self.clone(), capacity)))
    }
}

impl LimitAlgorithm for Noting {
    fn limit(&self) -> u32 {
        self.1
    }

    fn sample(&mut self, _: Duration, sample: Sample) -> u32 {
        self.0.0.lock().unwrap().push(sample);
        self.1 += 1;
        self.1
    }
}

impl Notes {
    fn take(&self) -> Vec<(u128, u32, Outcome)> {
        let samples = std::mem::take(&mut *self.0.lock().unwrap());
        let plain = |sample: Sample| (sample.latency.as_millis(), sample.in_flight, sample.outcome);
        samples.into_iter().map(plain).collect()
    }
}

fn all(bulkhead: &Bulkhead) -> Vec<Permit> {
    from_fn(|| bulkhead.try_acquire().ok()).collect()
}

#[tidegate_testkit::test]
async fn a_permit_tells_how_long_it_was_held_and_what_came_of_it() {
    for tracks in [false, true] {
        let notes = Notes::default();
        let builder = Bulkhead::builder(4).limit(notes.clone());
        let builder = if tracks { builder.track_holders() } else { builder };
        let bulkhead = builder.build().unwrap();
        let [good, bad, other] = [(); 3].map(|()| bulkhead.try_acquire().unwrap());
        let given_up = bulkhead.try_acquire_ref(1).unwrap();
        advance(MS * 20).await;
        good.success();
        advance(MS * 20).await;
        bad.failure();
        other.ignore();
        advance(MS * 20).await;
        drop(given_up);
        let told = notes.take();
        // To 8 µs.
        let about: Vec<_> =
            told.iter().map(|(ms, n, outcome)| (ms.div_ceil(10), *n, *outcome)).collect();
        assert_eq!(
            about,
            [
                (2, 4, Outcome::Success),
                (4, 3, Outcome::Failure),
                (4, 2, Outcome::Ignored),
                (6, 1, Outcome::Cancelled)
            ]
        );
        assert_eq!(bulkhead.capacity(), 8);
        assert_idle(&bulkhead);
    }
}

#[tidegate_testkit::test]
async fn what_was_told_once_is_not_told_again() {
    for tracks in [false, true] {
        let notes = Notes::default();
        let builder = Bulkhead::builder(4).limit(notes.clone());
        let builder = if tracks { builder.track_holders() } else { builder };
        let bulkhead = builder.build().unwrap();
        let mut permit = bulkhead.try_acquire_many(3).unwrap();
        permit.ended(Outcome::Success);
        permit.ended(Outcome::Failure);
        // It is held still, by a response say.
        assert_eq!((notes.take().len(), bulkhead.in_use()), (1, 3));
        drop(permit);
        assert!(notes.take().is_empty());
        assert_idle(&bulkhead);
    }
}

#[tidegate_testkit::test]
async fn parts_of_a_permit_are_held_for_as_long_as_all_of_it() {
    let notes = Notes::default();
    let bulkhead = Bulkhead::builder(4).limit(notes.clone()).build().unwrap();
    let mut permit = bulkhead.try_acquire_many(3).unwrap();
    advance(MS * 20).await;
    let mut part = permit.split(1).unwrap();
    let nothing = permit.split(0).unwrap();
    part.merge(nothing).unwrap();
    advance(MS * 20).await;
    part.success();
    drop(permit);
    let told: Vec<_> = notes.take().into_iter().map(|(ms, ..)| ms.div_ceil(10)).collect();
    assert_eq!(told, [4, 4]);
}

#[tidegate_testkit::test]
async fn a_larger_limit_lets_in_who_waits() {
    let bulkhead = Bulkhead::builder(1).limit(Notes::default()).build().unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let mut waiters = [(); 3].map(|()| crate::waiter(&bulkhead, 1));
    permit.success();
    let [first, second, third] = &mut waiters;
    let entered = (crate::end(first).unwrap(), crate::end(second).unwrap());
    assert!(crate::poll(third.as_mut()).is_pending());
    drop(entered);
    drop(crate::end(third).unwrap());
    assert_idle(&bulkhead);
}

#[tidegate_testkit::test]
async fn each_finds_how_many_there_may_be() {
    let limits: [Arc<dyn Fn() -> Bulkhead>; 3] = [
        Arc::new(|| Bulkhead::builder(5).limit(Aimd::new(SECOND)).build().unwrap()),
        Arc::new(|| {
            Bulkhead::builder(5).wall_clock(Duration::ZERO).limit(Vegas::new()).build().unwrap()
        }),
        Arc::new(|| {
            Bulkhead::builder(5).wall_clock(Duration::ZERO).limit(Gradient2::new()).build().unwrap()
        }),
    ];
    for limit in limits {
        let bulkhead = limit();
        // Ten at a time, in 20 ms: whoever is let in beyond that waits for the others.
        let mut found = 0;
        for round in 0..600 {
            let permits = all(&bulkhead);
            for ten in permits.chunks(10) {
                sleep(MS * 20 * u32::from(!ten.is_empty())).await;
            }
            permits.into_iter().for_each(Permit::success);
            // It may be less for a moment, to look at how long one takes.
            if round > 500 {
                found = found.max(bulkhead.capacity());
            }
        }
        assert!(found >= 10, "{bulkhead:?}");
        for _ in 0..20 {
            let permits = all(&bulkhead);
            sleep(SECOND * 2).await;
            permits.into_iter().for_each(Permit::failure);
        }
        assert!(bulkhead.capacity() * 2 <= found, "{bulkhead:?}");
        assert_idle(&bulkhead);
    }
}

#[test]
fn a_bulkhead_with_a_limit_is_not_resized_and_nonsense_is_an_error() {
    let bulkhead =
        Bulkhead::builder(5).wall_clock(Duration::ZERO).limit(Vegas::new()).build().unwrap();
    assert_eq!(bulkhead.resize(6), Err(ConfigError::Adapts));
    let error = Bulkhead::builder(5)
        .wall_clock(Duration::ZERO)
        .limit(Vegas::new().max(4))
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "a limit of 5 is not between 1 and 4");
    let error = Bulkhead::builder(5).limit(Aimd::new(MS).backoff(2.0)).build().unwrap_err();
    assert_eq!(error.to_string(), "the limit cannot have such a `backoff`");
}

#[test]
fn an_observer_hears_of_each_change() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let by = Arc::clone(&heard);
    let hear = move |event: &Event| by.lock().unwrap().push(*event);
    let bulkhead = Bulkhead::builder(1).limit(Notes::default()).observer(hear).build().unwrap();
    bulkhead.try_acquire().unwrap().success();
    assert_eq!(*heard.lock().unwrap(), [Event::Resized { from: 1, to: 2 }]);
}

/// A panic while a permit is dropped by a panic would end the program.
#[test]
fn a_limit_that_panics_changes_nothing() {
    #[derive(Debug)]
    struct Panics;
    impl Limit for Panics {
        fn start(&self, _: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
            Ok(Box::new(Self))
        }
    }
    impl LimitAlgorithm for Panics {
        fn limit(&self) -> u32 {
            3
        }
        fn sample(&mut self, _: Duration, _: Sample) -> u32 {
            panic!("on purpose")
        }
    }
    let bulkhead = Bulkhead::builder(3).limit(Panics).build().unwrap();
    bulkhead.try_acquire().unwrap().success();
    drop(bulkhead.try_acquire().unwrap());
    assert_eq!(bulkhead.capacity(), 3);
    assert_idle(&bulkhead);
}

#[test]
fn each_key_has_a_limit_of_its_own() {
    let bulkhead = KeyedBulkhead::<u32>::builder(2)
        .capacity_for(|key| *key)
        .each(|each| each.wall_clock(Duration::ZERO).limit(Vegas::new().min(2)))
        .build()
        .unwrap();
    // The limit cannot begin with one.
    let one = bulkhead.try_acquire(&1).unwrap();
    let error = bulkhead.try_acquire_many(&1, 2).unwrap_err();
    assert_eq!(error.to_string(), "2 never enter: there are 1");
    assert!(bulkhead.try_acquire(&1).is_err());
    one.success();
    let many = [(); 5].map(|()| bulkhead.try_acquire(&5).unwrap());
    assert!(bulkhead.try_acquire(&5).is_err());
    let [a, b, rest @ ..] = many;
    a.failure();
    b.ignore();
    drop(rest);
    assert!(bulkhead.is_empty());
}

/// Through each mode: what the limit is told of a call, which begins when it is called.
#[cfg(feature = "tower")]
mod layer {
    use super::*;
    use tidegate_bulkhead::BulkheadLayer;
    use tower::{Layer, Service, ServiceExt, service_fn};

    async fn told<S>(notes: &Notes, mut service: S, request: u32) -> (u128, Outcome)
    where
        S: Service<u32>,
    {
        // Made ready long before.
        let service = service.ready().await.ok().unwrap();
        advance(SECOND).await;
        let call = service.call(request);
        drop(tokio::time::timeout(MS * 500, call).await);
        let told = notes.take();
        assert_eq!(told.len(), 1);
        (told[0].0.div_ceil(10), told[0].2)
    }

    /// Takes 20 ms for 0 to 9, fails with 1 and 2, and does not end with 99.
    async fn answer(n: u32) -> Result<u32, u32> {
        sleep(if n == 99 { SECOND * 100 } else { MS * 20 }).await;
        if n == 1 || n == 2 { Err(n) } else { Ok(n) }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as the layer has it")]
    fn outcome(result: &Result<u32, u32>) -> Outcome {
        match result {
            Ok(3) | Err(2) => Outcome::Failure,
            Err(_) => Outcome::Ignored,
            Ok(_) => Outcome::Success,
        }
    }

    #[tidegate_testkit::test]
    async fn a_layer_tells_what_has_become_of_each_call() {
        let notes = Notes::default();
        let bulkhead = Bulkhead::builder(5).limit(notes.clone()).build().unwrap();
        let expected = [
            (0, Outcome::Success, Outcome::Success),
            (1, Outcome::Error, Outcome::Ignored),
            (2, Outcome::Error, Outcome::Failure),
            (3, Outcome::Success, Outcome::Failure),
        ];
        for (request, plain, classified) in expected {
            let layer = BulkheadLayer::reject(bulkhead.clone());
            let said = told(&notes, layer.layer(service_fn(answer)), request).await;
            assert_eq!(said, (2, plain), "reject {request}");
            let layer = BulkheadLayer::wait(bulkhead.clone()).classify(outcome);
            let said = told(&notes, layer.layer(service_fn(answer)), request).await;
            assert_eq!(said, (2, classified), "wait {request}");
            let layer = BulkheadLayer::readiness(bulkhead.clone()).in_response().classify(outcome);
            let said = told(&notes, layer.layer(service_fn(answer)), request).await;
            assert_eq!(said, (2, classified), "readiness {request}");
        }
        let layer = BulkheadLayer::wait(bulkhead.clone());
        let said = told(&notes, layer.layer(service_fn(answer)), 99).await;
        assert_eq!(said, (50, Outcome::Cancelled));
        assert_idle(&bulkhead);
    }
}

/// A backend of 20 workers that is called through a layer without a word about errors: each of `kind` ends as that says.
/// How many may be in flight in the end, of 40 at first.
#[cfg(feature = "tower")]
async fn found(limit: impl Limit + 'static, kind: fn(u32) -> (Duration, Result<u32, u32>)) -> u32 {
    use tower::{Layer, ServiceExt, service_fn};
    let builder = Bulkhead::builder(40).wall_clock(Duration::ZERO).limit(limit);
    let bulkhead = builder.build().unwrap();
    let service = tidegate_bulkhead::BulkheadLayer::reject(bulkhead.clone()).layer(service_fn(
        move |n: u32| async move {
            let (time, result) = kind(n);
            sleep(time).await;
            result
        },
    ));
    let mut most = 0;
    for round in 0..300 {
        let calls = (0..40).map(|n| service.clone().oneshot(round * 40 + n));
        futures::future::join_all(calls).await;
        // A look at the time of a call takes half of it for a moment.
        most = if round < 280 { 0 } else { most.max(bulkhead.capacity()) };
    }
    assert_idle(&bulkhead);
    most
}

/// The same with the three limits.
#[cfg(feature = "tower")]
async fn each_found(kind: fn(u32) -> (Duration, Result<u32, u32>)) -> [u32; 3] {
    [
        found(Aimd::new(MS * 500), kind).await,
        found(Vegas::new(), kind).await,
        found(Gradient2::new(), kind).await,
    ]
}

/// A third of the requests are for what there is not, or make no sense: nobody has to classify that.
#[cfg(feature = "tower")]
#[tidegate_testkit::test(budget = "1h")]
async fn errors_that_are_no_load_lower_no_limit() {
    let at_once = each_found(|n| if n % 3 == 0 { (MS, Err(404)) } else { (MS * 50, Ok(n)) }).await;
    assert!(at_once.iter().all(|limit| *limit >= 40), "{at_once:?}");
    let by_the_backend = each_found(|n| (MS * 50, if n % 3 == 0 { Err(404) } else { Ok(n) })).await;
    assert!(by_the_backend.iter().all(|limit| *limit >= 40), "{by_the_backend:?}");
}

/// Netflix/concurrency-limits#137, with the timeout inside: it is an error like any other, but for its time.
#[cfg(feature = "tower")]
#[tidegate_testkit::test(budget = "1h")]
async fn timeouts_inside_lower_each_limit_though_nobody_says_what_they_are() {
    let hung = each_found(|n| if n < 4000 { (MS * 50, Ok(n)) } else { (SECOND, Err(504)) }).await;
    assert!(hung.iter().all(|limit| *limit <= 4), "{hung:?}");
}

/// Limit 20, of which 12 hang: half of them are more than a probe lets in. Or they have ended, and their
/// responses take for ever to be sent.
async fn hang(bulkhead: &Bulkhead, in_response: bool) -> Vec<Permit> {
    let mut hung = Vec::new();
    for round in 0..1000 {
        let mut permits = all(bulkhead);
        if round >= 50 && hung.len() < 12 {
            hung.extend(permits.pop());
        }
        sleep(MS * 20).await;
        if in_response && (50..62).contains(&round) {
            hung.last_mut().unwrap().ended(Outcome::Success);
        }
        permits.into_iter().for_each(Permit::success);
    }
    hung
}

#[tidegate_testkit::test(budget = "1h")]
async fn a_probe_ends_though_most_calls_hang() {
    for in_response in [false, true] {
        let bulkhead = Bulkhead::builder(20)
            .wall_clock(Duration::ZERO)
            .limit(Vegas::new().max(20))
            .build()
            .unwrap();
        let hung = hang(&bulkhead, in_response).await;
        assert_eq!(hung.len(), 12);
        sleep(SECOND * 600).await;
        assert_eq!(all(&bulkhead).len(), 20 - hung.len(), "{bulkhead:?}");
    }
}

/// Falls to one at the first call that ends, for a second.
#[derive(Clone, Copy, Debug)]
struct Falls(u32, Option<Duration>);

impl Limit for Falls {
    fn start(&self, _: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        Ok(Box::new(*self))
    }
}

impl LimitAlgorithm for Falls {
    fn limit(&self) -> u32 {
        if self.1.is_some() { 1 } else { self.0 }
    }

    fn sample(&mut self, now: Duration, _: Sample) -> u32 {
        self.1.get_or_insert(now + SECOND);
        self.limit()
    }

    fn due(&self) -> Option<Duration> {
        self.1
    }

    fn tick(&mut self, now: Duration) -> u32 {
        self.1.take_if(|due| now >= *due);
        self.limit()
    }
}

/// Nobody comes, and nothing ends: who waits looks by itself, also if it came before.
#[tidegate_testkit::test]
async fn who_waits_enters_when_a_limit_rises_by_time() {
    let bulkhead = Bulkhead::builder(2).limit(Falls(2, None)).build().unwrap();
    let [first, hangs] = [(); 2].map(|()| bulkhead.try_acquire().unwrap());
    let waits =
        [tokio::spawn(bulkhead.acquire()), tokio::spawn(bulkhead.acquire_within(1, SECOND * 5))];
    tidegate_testkit::settle().await;
    first.success();
    let late = tokio::spawn(bulkhead.acquire());
    for waits in waits.into_iter().chain([late]) {
        let entered = tokio::time::timeout(SECOND * 3, waits).await;
        entered.expect("it has risen").unwrap().unwrap().ignore();
    }
    drop(hangs);
    assert_idle(&bulkhead);
}

/// The same by readiness, which has no timer otherwise.
#[cfg(feature = "tower")]
#[tidegate_testkit::test]
async fn readiness_comes_when_a_limit_rises_by_time() {
    use tower::{Layer, ServiceExt, service_fn};
    let bulkhead = Bulkhead::builder(2).limit(Falls(2, None)).build().unwrap();
    let [first, hangs] = [(); 2].map(|()| bulkhead.try_acquire().unwrap());
    let layer = tidegate_bulkhead::BulkheadLayer::readiness(bulkhead.clone());
    let service = layer.layer(service_fn(async |n: u32| Ok::<_, ()>(n)));
    let call = tokio::spawn(service.oneshot(1));
    tidegate_testkit::settle().await;
    first.success();
    let said = tokio::time::timeout(SECOND * 3, call).await;
    assert_eq!(said.expect("it has risen").unwrap(), Ok(1));
    drop(hangs);
    assert_idle(&bulkhead);
}

/// Nobody says what has become of the calls, which are well.
#[tidegate_testkit::test]
async fn permits_that_are_merely_dropped_do_not_lower_a_limit() {
    for gradient in [false, true] {
        let bulkhead = Bulkhead::builder(20);
        let bulkhead = if gradient {
            bulkhead.wall_clock(Duration::ZERO).limit(Gradient2::new())
        } else {
            bulkhead.wall_clock(Duration::ZERO).limit(Vegas::new())
        };
        let bulkhead = bulkhead.build().unwrap();
        for _ in 0..200 {
            let permits = all(&bulkhead);
            sleep(MS * 20).await;
            drop(permits);
        }
        assert_eq!(bulkhead.capacity(), 20);
    }
}

/// Dropped, or failed after it was ready.
#[cfg(feature = "tower")]
#[tidegate_testkit::test]
async fn a_ready_service_that_is_not_called_says_nothing_of_calls() {
    use std::task::{Context, Poll};
    use tower::{Layer, Service, ServiceExt};

    /// Is ready once.
    struct Once(bool);

    impl Service<u32> for Once {
        type Response = u32;
        type Error = ();
        type Future = std::future::Ready<Result<u32, ()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(if std::mem::replace(&mut self.0, false) { Ok(()) } else { Err(()) })
        }

        fn call(&mut self, n: u32) -> Self::Future {
            std::future::ready(Ok(n))
        }
    }

    for fails in [false, true] {
        let notes = Notes::default();
        let bulkhead = Bulkhead::builder(5).limit(notes.clone()).build().unwrap();
        let layer = tidegate_bulkhead::BulkheadLayer::readiness(bulkhead.clone());
        let mut service = layer.layer(Once(true));
        assert!(service.ready().await.is_ok());
        advance(SECOND * 60).await;
        if fails {
            assert!(service.ready().await.is_err());
            assert_eq!(bulkhead.in_use(), 0);
        }
        drop(service);
        let told = notes.take();
        assert!(told.iter().all(|(_, _, outcome)| *outcome == Outcome::Ignored), "{told:?}");
        assert_idle(&bulkhead);
    }
}

/// For who asks at once, and for who waits.
#[tidegate_testkit::test(budget = "1h")]
async fn a_look_at_the_time_of_a_call_turns_no_weight_away() {
    let builder = Bulkhead::builder(20).wall_clock(Duration::ZERO);
    let bulkhead = builder.limit(Vegas::new().max(20)).build().unwrap();
    let (mut least, mut waited) = (20, 0);
    for _ in 0..1500 {
        let mut permits = all(&bulkhead);
        sleep(MS * 10).await;
        permits.pop().unwrap().success();
        least = least.min(bulkhead.capacity());
        let waits = bulkhead.acquire_many(15);
        let refused = bulkhead.try_acquire_many(15).map(Permit::ignore);
        assert!(!matches!(refused, Err(TryAcquireError::TooLarge { .. })), "{refused:?}");
        sleep(MS * 10).await;
        permits.into_iter().for_each(Permit::success);
        least = least.min(bulkhead.capacity());
        waits.await.unwrap().ignore();
        waited += 1;
    }
    assert!(least < 15 && waited == 1500, "there was none: {least}");
}

#[test]
fn a_limit_may_begin_with_another_capacity_than_it_is_given() {
    let bulkhead = Bulkhead::builder(2).limit(Falls(5, None)).build().unwrap();
    assert_eq!((bulkhead.capacity(), all(&bulkhead).len()), (5, 5));
}
