//! Models of the word, the line and the wake-ups: run with `--cfg tidegate_loom`.

use crate::{
    Acquire, AcquireError, Bulkhead, ConfigError, Limit, LimitAlgorithm, Sample, loom_model::model,
};
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_core::sync::{Arc, thread};

fn bulkhead(capacity: u32) -> Bulkhead {
    Bulkhead::builder(capacity).build().unwrap()
}

fn poll(acquire: Pin<&mut Acquire>) -> Poll<Result<u32, AcquireError>> {
    let polled = acquire.poll(&mut Context::from_waker(Waker::noop()));
    polled.map(|end| end.map(|permit| permit.weight()))
}

/// Everything has come back, nobody waits, and the word is open.
fn is_as_new(bulkhead: &Bulkhead, capacity: u32) {
    let stats = bulkhead.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.capacity), (0, 0, capacity));
    assert!(bulkhead.try_acquire_many(capacity).is_ok());
}

#[test]
fn loom_no_more_enter_than_there_is_room() {
    model("no_more_enter_than_there_is_room", || {
        let bulkhead = bulkhead(3);
        let inside = Arc::new(AtomicU32::new(0));
        let takers = [2, 1].map(|weight| {
            let (bulkhead, inside) = (bulkhead.clone(), Arc::clone(&inside));
            thread::spawn(move || {
                if let Ok(_permit) = bulkhead.try_acquire_many(weight) {
                    assert!(inside.fetch_add(weight, SeqCst) + weight <= 3);
                    inside.fetch_sub(weight, SeqCst);
                }
            })
        });
        if let Ok(_permit) = bulkhead.try_acquire_ref(2) {
            assert!(inside.fetch_add(2, SeqCst) + 2 <= 3);
            inside.fetch_sub(2, SeqCst);
        }
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        is_as_new(&bulkhead, 3);
    });
}

/// Netflix/concurrency-limits#70: a permit that comes back while somebody joins the line is not lost.
#[test]
fn loom_no_wake_up_is_lost() {
    model("no_wake_up_is_lost", || {
        let bulkhead = bulkhead(1);
        let holders = [(); 2].map(|()| {
            let bulkhead = bulkhead.clone();
            thread::spawn(move || drop(loom::future::block_on(bulkhead.acquire()).unwrap()))
        });
        drop(loom::future::block_on(bulkhead.acquire()).unwrap());
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        is_as_new(&bulkhead, 1);
    });
}

/// One permit lets two in that need half of it each.
#[test]
fn loom_as_many_are_woken_as_can_go() {
    model("as_many_are_woken_as_can_go", || {
        let bulkhead = bulkhead(2);
        let permit = bulkhead.try_acquire_many(2).unwrap();
        let mut first = Box::pin(bulkhead.acquire());
        assert!(poll(first.as_mut()).is_pending());
        let other = bulkhead.clone();
        let second = thread::spawn(move || {
            let _permit = loom::future::block_on(other.acquire()).unwrap();
        });
        drop(permit);
        assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(1)));
        second.join().unwrap();
        is_as_new(&bulkhead, 2);
    });
}

#[test]
fn loom_who_gives_up_makes_room_for_the_next() {
    model("who_gives_up_makes_room_for_the_next", || {
        let bulkhead = bulkhead(1);
        let permit = bulkhead.try_acquire().unwrap();
        let mut quitter = Box::pin(bulkhead.acquire());
        assert!(poll(quitter.as_mut()).is_pending());
        let other = bulkhead.clone();
        let next = thread::spawn(move || drop(loom::future::block_on(other.acquire()).unwrap()));
        let release = thread::spawn(move || drop(permit));
        // It waits still, or has been let in and does not know.
        drop(quitter);
        release.join().unwrap();
        next.join().unwrap();
        is_as_new(&bulkhead, 1);
    });
}

#[test]
fn loom_nobody_overtakes_who_waits() {
    model("nobody_overtakes_who_waits", || {
        let bulkhead = bulkhead(2);
        let permit = bulkhead.try_acquire().unwrap();
        let mut large = Box::pin(bulkhead.acquire_many(2));
        assert!(poll(large.as_mut()).is_pending());
        let small = [(); 2].map(|()| {
            let other = bulkhead.clone();
            thread::spawn(move || other.try_acquire().is_ok())
        });
        drop(permit);
        assert_eq!(small.map(|small| small.join().unwrap()), [false; 2]);
        assert_eq!(poll(large.as_mut()), Poll::Ready(Ok(2)));
    });
}

#[test]
fn loom_a_resize_loses_no_permit_and_reaches_who_waits() {
    model("a_resize_loses_no_permit_and_reaches_who_waits", || {
        let bulkhead = bulkhead(1);
        let other = bulkhead.clone();
        let resize = thread::spawn(move || other.resize(2).unwrap());
        let other = bulkhead.clone();
        let taker = thread::spawn(move || drop(other.try_acquire()));
        // There is not enough before.
        let result = loom::future::block_on(bulkhead.acquire());
        let mine = result.unwrap();
        resize.join().unwrap();
        taker.join().unwrap();
        assert_eq!(bulkhead.in_use(), 1);
        drop(mine);
        is_as_new(&bulkhead, 2);
    });
}

/// Made smaller while one waits for all there was, and another one takes and gives back.
#[test]
fn loom_who_became_too_large_is_told() {
    model("who_became_too_large_is_told", || {
        let bulkhead = bulkhead(2);
        let permit = bulkhead.try_acquire().unwrap();
        let other = bulkhead.clone();
        let large = thread::spawn(move || loom::future::block_on(other.acquire_many(2)).map(drop));
        let other = bulkhead.clone();
        let resize = thread::spawn(move || other.resize(1).unwrap());
        drop(permit);
        resize.join().unwrap();
        match large.join().unwrap() {
            Ok(()) | Err(AcquireError::TooLarge { weight: 2, capacity: 1 }) => {}
            Err(error) => panic!("{error}"),
        }
        is_as_new(&bulkhead, 1);
    });
}

#[test]
fn loom_closing_sends_everybody_away_and_drains() {
    model("closing_sends_everybody_away_and_drains", || {
        let bulkhead = bulkhead(1);
        let permit = bulkhead.try_acquire().unwrap();
        let other = bulkhead.clone();
        let waits = thread::spawn(move || loom::future::block_on(other.acquire()).map(drop));
        let release = thread::spawn(move || drop(permit));
        bulkhead.close();
        loom::future::block_on(bulkhead.drained());
        assert_eq!(bulkhead.in_use(), 0);
        release.join().unwrap();
        assert!(matches!(waits.join().unwrap(), Ok(()) | Err(AcquireError::Closed)));
        assert!(bulkhead.try_acquire().is_err());
    });
}

/// The word is closed for who waits for a drain, and opened when that ends.
#[test]
fn loom_a_drain_is_not_missed() {
    model("a_drain_is_not_missed", || {
        let bulkhead = bulkhead(2);
        let holders = [(); 2].map(|()| {
            let permit = bulkhead.try_acquire().unwrap();
            thread::spawn(move || drop(permit))
        });
        loom::future::block_on(bulkhead.drained());
        assert_eq!(bulkhead.in_use(), 0);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        is_as_new(&bulkhead, 2);
    });
}

/// Taking, giving up, resizing and closing all at once.
#[test]
fn loom_take_cancel_resize_and_close_lose_nothing() {
    model("take_cancel_resize_and_close_lose_nothing", || {
        let bulkhead = bulkhead(1);
        let permit = bulkhead.try_acquire().unwrap();
        let other = bulkhead.clone();
        let quitter = thread::spawn(move || {
            let mut acquire = Box::pin(other.acquire());
            poll(acquire.as_mut()).is_ready()
        });
        let other = bulkhead.clone();
        let change = thread::spawn(move || {
            other.resize(2).unwrap();
            other.close();
        });
        drop(permit);
        quitter.join().unwrap();
        change.join().unwrap();
        let stats = bulkhead.stats();
        assert_eq!((stats.in_use, stats.waiting, stats.capacity), (0, 0, 2));
    });
}

/// Has one permit more by each call.
#[derive(Debug)]
struct Grows(u32);

impl Limit for Grows {
    fn start(&self, capacity: u32) -> Result<Box<dyn LimitAlgorithm>, ConfigError> {
        Ok(Box::new(Self(capacity)))
    }
}

impl LimitAlgorithm for Grows {
    fn limit(&self) -> u32 {
        self.0
    }

    fn sample(&mut self, _: Duration, _: Sample) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Two calls end together: the first to be heard may be the last to change the capacity.
#[test]
fn loom_there_are_as_many_as_the_limit_has_said_last() {
    model("there_are_as_many_as_the_limit_has_said_last", || {
        let bulkhead = Bulkhead::builder(2).limit(Grows(0)).build().unwrap();
        let permits = [(); 2].map(|()| bulkhead.try_acquire().unwrap());
        let calls = permits.map(|permit| thread::spawn(move || permit.success()));
        calls.into_iter().for_each(|call| call.join().unwrap());
        is_as_new(&bulkhead, 4);
    });
}
