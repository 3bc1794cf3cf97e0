//! Models of waiting at both ends: run with `--cfg tidegate_loom`. A waiter that nobody wakes
//! is a deadlock, which loom reports.

use super::*;
use crate::stats::StageKind;
use loom::future::block_on;
use std::future::poll_fn;
use tidegate_core::sync::thread;

pub(crate) fn model(name: &str, check: impl Fn() + Send + Sync + 'static) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    // Three threads that each take a lock several times are beyond an unbounded search.
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(2));
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        check();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("loom-executions: {name} {executions}");
    assert!(executions > 1, "{name}: one execution explores nothing");
}

fn cell() -> Arc<StageCell> {
    Arc::new(StageCell::new("stage".into(), StageKind::Map, 1, 1))
}

fn queue(capacity: usize) -> Arc<Queue<u64>> {
    Arc::new(Queue::new(capacity, cell(), cell()))
}

/// Takes one item after the other until the end.
fn drain(mut consumer: Consumer<u64>) -> Vec<u64> {
    let mut items = VecDeque::new();
    let mut all = Vec::new();
    loop {
        let popped = block_on(poll_fn(|cx| consumer.poll_pop(cx, 1, &mut items)));
        all.extend(items.drain(..));
        if popped == Popped::Finished {
            return all;
        }
    }
}

fn fill(mut producer: Producer<u64>, items: impl IntoIterator<Item = u64>) {
    let mut items: VecDeque<_> = items.into_iter().collect();
    assert_eq!(block_on(poll_fn(|cx| producer.poll_push(cx, &mut items))), Ok(()));
}

#[test]
fn loom_every_item_and_the_end_reach_both_consumers() {
    model("every_item_and_the_end_reach_both_consumers", || {
        let queue = queue(2);
        let (left, right) = (Consumer::new(&queue, 2), Consumer::new(&queue, 2));
        let producer = Producer::new(&queue);
        let left = thread::spawn(move || drain(left));
        let right = thread::spawn(move || drain(right));
        fill(producer, 0..2);
        let mut all = left.join().unwrap();
        all.extend(right.join().unwrap());
        all.sort_unstable();
        assert_eq!(all, [0, 1]);
    });
}

#[test]
fn loom_room_reaches_both_producers() {
    model("room_reaches_both_producers", || {
        let queue = queue(1);
        let consumer = Consumer::new(&queue, 1);
        let (left, right) = (Producer::new(&queue), Producer::new(&queue));
        let left = thread::spawn(move || fill(left, 0..1));
        let right = thread::spawn(move || fill(right, 10..12));
        let mut all = drain(consumer);
        left.join().unwrap();
        right.join().unwrap();
        all.sort_unstable();
        assert_eq!(all, [0, 10, 11]);
    });
}

fn wait_for_a_turn(consumer: &mut Consumer<u64>) {
    let waits = block_on(poll_fn(|cx| {
        Poll::Ready(consumer.poll_pop(cx, 1, &mut VecDeque::new()).is_pending())
    }));
    assert!(waits);
}

#[test]
fn loom_a_forgone_turn_goes_to_the_next() {
    model("a_forgone_turn_goes_to_the_next", || {
        let queue = queue(1);
        let (mut first, second) = (Consumer::new(&queue, 2), Consumer::new(&queue, 2));
        let producer = Producer::new(&queue);
        wait_for_a_turn(&mut first);
        let second = thread::spawn(move || drain(second));
        let pushing = thread::spawn(move || fill(producer, 0..1));
        // Whether its turn has come by now or not.
        first.forgo();
        assert_eq!(second.join().unwrap(), [0]);
        pushing.join().unwrap();
    });
}

#[test]
fn loom_a_dropped_consumer_passes_its_turn_on() {
    model("a_dropped_consumer_passes_its_turn_on", || {
        let queue = queue(1);
        let (mut first, second) = (Consumer::new(&queue, 2), Consumer::new(&queue, 2));
        let producer = Producer::new(&queue);
        wait_for_a_turn(&mut first);
        let second = thread::spawn(move || drain(second));
        let first = thread::spawn(move || drop(first));
        fill(producer, 0..1);
        assert_eq!(second.join().unwrap(), [0]);
        first.join().unwrap();
    });
}

#[test]
fn loom_a_producer_hears_that_nobody_takes_items_any_more() {
    model("a_producer_hears_that_nobody_takes_items_any_more", || {
        let queue = queue(1);
        let consumer = Consumer::new(&queue, 1);
        let mut producer = Producer::new(&queue);
        let consuming = thread::spawn(move || drop(consumer));
        let mut items: VecDeque<_> = (0..3).collect();
        let pushed = block_on(poll_fn(|cx| producer.poll_push(cx, &mut items)));
        assert_eq!(pushed, Err(Closed));
        consuming.join().unwrap();
    });
}

#[test]
fn loom_workers_of_an_ordered_stage_wait_for_tickets_and_keep_order() {
    model("workers_of_an_ordered_stage_wait_for_tickets_and_keep_order", || {
        let (input, output) = (queue(2), queue(1));
        let consumers = [Consumer::new(&input, 2), Consumer::new(&input, 2)];
        let results = Consumer::new(&output, 1);
        fill(Producer::new(&input), 0..2);
        output.set_ordered(&input, 1);
        let workers = consumers.map(|mut consumer| {
            let mut producer = Producer::new(&output);
            thread::spawn(move || {
                let mut items = VecDeque::new();
                while let Popped::Items(ticket) =
                    block_on(poll_fn(|cx| consumer.poll_pop(cx, 1, &mut items)))
                {
                    let item = items.pop_front();
                    producer.deposit(&mut [(ticket, item)].into()).unwrap();
                }
            })
        });
        drop(input);
        assert_eq!(drain(results), [0, 1]);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
