use super::*;
use crate::stats::StageKind;
use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Wake,
};

/// A waker that counts.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Party(Arc<Bell>, Waker);

impl Party {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        Self(Arc::clone(&bell), Waker::from(bell))
    }

    fn cx(&self) -> Context<'_> {
        Context::from_waker(&self.1)
    }

    fn rung(&self) -> usize {
        self.0.0.swap(0, SeqCst)
    }
}

fn cell() -> Arc<StageCell> {
    Arc::new(StageCell::new("stage".into(), StageKind::Map, 1, 4))
}

fn queue(capacity: usize) -> Arc<Queue<u32>> {
    Arc::new(Queue::new(capacity, cell(), cell()))
}

#[test]
fn one_push_wakes_one_consumer_which_wakes_the_next() {
    let queue = queue(8);
    let mut producer = Producer::new(&queue);
    let mut consumers = [(); 3].map(|()| (Consumer::new(&queue, 3), Party::new()));
    let mut items = VecDeque::new();
    for (consumer, party) in &mut consumers {
        assert!(consumer.poll_pop(&mut party.cx(), 1, &mut items).is_pending());
    }
    let pushing = Party::new();
    assert!(producer.poll_push(&mut pushing.cx(), &mut [1, 2].into()).is_ready());
    assert_eq!(consumers.each_ref().map(|(_, party)| party.rung()), [1, 0, 0]);
    let (first, party) = &mut consumers[0];
    assert_eq!(first.poll_pop(&mut party.cx(), 1, &mut items), Poll::Ready(Popped::Items(0)));
    assert_eq!(consumers.each_ref().map(|(_, party)| party.rung()), [0, 1, 0]);
    drop(producer);
    assert_eq!(consumers.each_ref().map(|(_, party)| party.rung()), [0, 0, 1]);
}

#[test]
fn a_producer_is_woken_when_half_of_the_queue_is_free() {
    let queue = queue(4);
    let mut producer = Producer::new(&queue);
    let mut consumer = Consumer::new(&queue, 1);
    let (pushing, taking) = (Party::new(), Party::new());
    let mut from: VecDeque<_> = (0..6).collect();
    assert!(producer.poll_push(&mut pushing.cx(), &mut from).is_pending());
    let mut items = VecDeque::new();
    assert!(consumer.poll_pop(&mut taking.cx(), 1, &mut items).is_ready());
    assert_eq!(pushing.rung(), 0, "three are left");
    items.clear();
    assert!(consumer.poll_pop(&mut taking.cx(), 1, &mut items).is_ready());
    assert_eq!(pushing.rung(), 1);
    assert!(producer.poll_push(&mut pushing.cx(), &mut from).is_ready());
    assert!(from.is_empty());
}

#[test]
fn a_turn_that_is_not_used_is_passed_on() {
    let queue = queue(4);
    let mut producer = Producer::new(&queue);
    let mut consumers = [(); 3].map(|()| (Consumer::new(&queue, 3), Party::new()));
    for (consumer, party) in &mut consumers {
        assert!(consumer.poll_pop(&mut party.cx(), 1, &mut VecDeque::new()).is_pending());
    }
    assert!(producer.poll_push(&mut Party::new().cx(), &mut [1].into()).is_ready());
    let [(mut first, a), (second, b), (_third, c)] = consumers;
    assert_eq!((a.rung(), b.rung(), c.rung()), (1, 0, 0));
    first.forgo();
    assert_eq!((a.rung(), b.rung(), c.rung()), (0, 1, 0));
    drop(second);
    assert_eq!((a.rung(), b.rung(), c.rung()), (0, 0, 1));
}

#[test]
fn what_is_left_is_counted_for_the_stage_it_belongs_to() {
    let (from, to) = (cell(), cell());
    let input = queue(4);
    let queue = Arc::new(Queue::new(1, Arc::clone(&from), Arc::clone(&to)));
    queue.set_ordered(&input, 4);
    let _open = Consumer::new(&queue, 1);
    let mut producer = Producer::new(&queue);
    producer.deposit(&mut [(0, Some(1)), (1, Some(2)), (3, Some(4))].into()).unwrap();
    assert_eq!((from.read().items_out, to.read().items_in, to.read().queued), (1, 1, 1));
    Sweep::sweep(&*queue);
    assert_eq!((from.read().cancelled, to.read().cancelled, to.read().queued), (2, 1, 0));
}
