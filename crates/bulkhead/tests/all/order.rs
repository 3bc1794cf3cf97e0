//! First come, first served, and other orders.

use crate::{bulkhead, end, waiter};
use std::sync::{Arc, Mutex};
use tidegate_bulkhead::{Ask, Bulkhead, Order, Priority};
use tidegate_testkit::{
    Seed, Seeds,
    conformance::{Fairness, WaitPool, wait_pool},
    settle,
};
use tokio::{task::JoinSet, time::Duration};

#[tidegate_testkit::test(budget = "2d")]
async fn ten_thousand_waiters_enter_in_the_order_they_came_in() {
    const WAITERS: usize = 10_000;
    let bulkhead = bulkhead(7);
    let permit = bulkhead.try_acquire_many(7).unwrap();
    let mut rng = Seed::from_env().unwrap_or(Seed::new(5)).rng();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let mut quitters = Vec::new();
    for n in 0..WAITERS {
        let (bulkhead, order) = (bulkhead.clone(), Arc::clone(&order));
        let weight = u32::try_from(1 + rng.below(7)).unwrap();
        let task = tasks.spawn(async move {
            let _permit = bulkhead.acquire_many(weight).await.unwrap();
            order.lock().unwrap().push(n);
            tokio::time::sleep(Duration::from_millis(1)).await;
        });
        if rng.one_in(10) {
            quitters.push((n, task));
        }
    }
    settle().await;
    assert_eq!(bulkhead.stats().waiting, WAITERS);
    // From anywhere in the line, some of them while others enter.
    let (now, later) = quitters.split_at(quitters.len() / 2);
    for (_, task) in now {
        task.abort();
    }
    settle().await;
    drop(permit);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!((1..WAITERS / 2).contains(&order.lock().unwrap().len()));
    for (_, task) in later {
        task.abort();
    }
    while tasks.join_next().await.is_some() {}
    let order = order.lock().unwrap();
    let inversions = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(inversions, 0);
    assert!(order.len() >= WAITERS - quitters.len());
    let stats = bulkhead.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.queued), (0, 0, 0));
    assert_eq!(stats.entered + stats.cancelled, WAITERS as u64);
}

/// Each of two permits, as a thing with a number.
struct Numbered {
    bulkhead: Bulkhead,
    free: Mutex<Vec<u64>>,
}

struct Lent<'a> {
    back: Back<'a>,
    _permit: tidegate_bulkhead::Permit,
}

struct Back<'a>(u64, &'a Numbered);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.1.free.lock().unwrap().push(self.0);
    }
}

impl WaitPool for Numbered {
    type Object<'a> = Lent<'a>;

    async fn checkout(&self) -> Lent<'_> {
        let permit = self.bulkhead.acquire().await.unwrap();
        let number = self.free.lock().unwrap().pop().unwrap();
        Lent { back: Back(number, self), _permit: permit }
    }

    fn id(object: &Lent<'_>) -> u64 {
        object.back.0
    }
}

#[test]
fn explore_who_waits_comes_leaves_and_enters_in_turn() {
    let make = || Numbered { bulkhead: bulkhead(2), free: vec![1, 2].into() };
    wait_pool(Seeds::n(300), 2, Fairness::Fifo, make).assert_passed();
}

/// Those who wait, by what they are called, in the order in which they enter.
fn enter_in_turn(bulkhead: &Bulkhead, asks: &[(&'static str, Priority)]) -> Vec<&'static str> {
    let mut permit = Some(bulkhead.try_acquire().unwrap());
    let mut waiting: Vec<_> = asks
        .iter()
        .map(|(name, priority)| {
            let mut waits = Box::pin(bulkhead.acquire_with(Ask::new(1).priority(*priority)));
            assert!(crate::poll(waits.as_mut()).is_pending());
            (*name, waits)
        })
        .collect();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(permit.take());
        let at = waiting.iter_mut().position(|(_, waits)| {
            let std::task::Poll::Ready(end) = crate::poll(waits.as_mut()) else { return false };
            permit = Some(end.unwrap());
            true
        });
        order.push(waiting.remove(at.unwrap()).0);
    }
    order
}

#[test]
fn the_urgent_go_first_and_the_others_are_not_starved() {
    let asks: Vec<_> = [("low", Priority::Low), ("normal", Priority::Normal)]
        .into_iter()
        .chain([("high", Priority::High); 5])
        .chain([("critical", Priority::Critical)])
        .collect();
    let strict = Bulkhead::builder(1).strict_priority().build().unwrap();
    let mut expected = vec!["critical", "high", "high", "high", "high", "high", "normal", "low"];
    assert_eq!(enter_in_turn(&strict, &asks), expected);
    let patient = Bulkhead::builder(1).patience(3).build().unwrap();
    // Both were passed over three times: the more urgent of them first.
    expected = vec!["critical", "high", "high", "normal", "low", "high", "high", "high"];
    assert_eq!(enter_in_turn(&patient, &asks), expected);
}

#[test]
fn lifo_lets_the_last_in_first() {
    let lifo = Bulkhead::builder(1).order(Order::Lifo).build().unwrap();
    let asks =
        [("first", Priority::Normal), ("second", Priority::Normal), ("third", Priority::Normal)];
    assert_eq!(enter_in_turn(&lifo, &asks), ["third", "second", "first"]);
}

/// Whoever comes without waiting does not overtake who waits, however little it wants.
#[test]
fn who_does_not_wait_does_not_overtake() {
    let bulkhead = bulkhead(3);
    let permit = bulkhead.try_acquire_many(2).unwrap();
    let mut large = waiter(&bulkhead, 2);
    assert!(bulkhead.try_acquire().is_err(), "there is one left");
    assert!(bulkhead.try_acquire_many(0).is_ok(), "which asks for nothing");
    let mut small = waiter(&bulkhead, 1);
    drop(permit);
    drop((end(&mut large).unwrap(), end(&mut small).unwrap()));
}

#[test]
fn somebody_urgent_need_not_wait_for_who_needs_more() {
    let bulkhead = bulkhead(3);
    let permit = bulkhead.try_acquire_many(2).unwrap();
    let large = waiter(&bulkhead, 3);
    let mut urgent = Box::pin(bulkhead.acquire_with(Ask::new(1).priority(Priority::High)));
    assert!(crate::poll(urgent.as_mut()).is_ready());
    drop((large, permit));
}
