//! governor 0.10.4 decides as the cell does where its arithmetic holds: a token in whole nanoseconds, and a
//! burst that 64 bits of them tell. Before 0.8 its burst was one more (boinkor-net/governor#251).

use super::oracle::Bucket;
use governor::{
    clock::{Clock, FakeRelativeClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use proptest::prelude::*;
use std::{num::NonZeroU32, time::Duration};
use tidegate_ratelimit::{
    Quota, Rate,
    state::{Gcra, Refusal},
};

/// A limiter of governor on a clock that is set.
type Peer =
    governor::RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>;

fn count(count: u64) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(count).unwrap()).unwrap()
}

/// What governor says to so much at the time of its clock.
fn ask(peer: &Peer, clock: &FakeRelativeClock, cost: u64) -> Result<(), Refusal> {
    match peer.check_n(count(cost)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(not)) => {
            let now = clock.now();
            Err(Refusal::Until((now + Nanos::from(not.wait_time_from(now))).as_u64()))
        }
        Err(_) => Err(Refusal::Never),
    }
}

#[cfg(not(miri))]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn governor_decides_as_the_cell_in_its_safe_range(
        interval in prop_oneof![1..100_u64, 1..10_000_000_000_u64],
        burst in prop_oneof![1..20_u64, 1..1_000_000_u64],
        steps in prop::collection::vec((0..3_u64, any::<u64>(), any::<u64>()), 1..80),
    ) {
        let interval = interval.min((1 << 62) / burst);
        let quota = Quota::new(Rate::every(Duration::from_nanos(interval)), burst);
        let (mut cell, mut bucket) = (Gcra::new(quota).unwrap(), Bucket::new(quota));
        let clock = FakeRelativeClock::default();
        let period = governor::Quota::with_period(Duration::from_nanos(interval)).unwrap();
        let peer = governor::RateLimiter::direct_with_clock(period.allow_burst(count(burst)), clock.clone());
        let mut now = 0;
        for (kind, time, cost) in steps {
            let time = time % [1, 2 * interval, 2 * interval * burst][usize::try_from(kind).unwrap()];
            clock.advance(Duration::from_nanos(time));
            now += time;
            let cost = 1 + cost % (burst + 1);
            let said = cell.take(now, cost);
            prop_assert_eq!(ask(&peer, &clock, cost), said);
            prop_assert_eq!(said.is_ok(), bucket.take(now, cost));
        }
    }
}

/// Where they differ, the exact bucket says who is right.
#[test]
fn governor_cuts_off_a_third_of_a_nanosecond() {
    let quota = Quota::new(Rate::per_second(3), 1);
    let (mut cell, mut bucket) = (Gcra::new(quota).unwrap(), Bucket::new(quota));
    let clock = FakeRelativeClock::default();
    let peer = governor::RateLimiter::direct_with_clock(
        governor::Quota::per_second(count(3)).allow_burst(count(1)),
        clock.clone(),
    );
    assert_eq!((cell.take(0, 1), ask(&peer, &clock, 1), bucket.take(0, 1)), (Ok(()), Ok(()), true));
    clock.advance(Duration::from_nanos(333_333_333));
    assert_eq!(ask(&peer, &clock, 1), Ok(()));
    assert!(!bucket.take(333_333_333, 1));
    assert_eq!(cell.take(333_333_333, 1), Err(Refusal::Until(333_333_334)));
    assert!(bucket.take(333_333_334, 1));
}
