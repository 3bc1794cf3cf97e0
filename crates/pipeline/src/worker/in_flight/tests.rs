use super::*;
use std::{
    future::poll_fn,
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

type Shelf = Arc<StdMutex<Vec<Option<Waker>>>>;

/// Pending until taken from the shelf and woken; counts its polls.
async fn shelved(id: usize, shelf: Shelf, polls: Arc<AtomicUsize>) -> usize {
    let mut waited = false;
    poll_fn(|cx| {
        polls.fetch_add(1, SeqCst);
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        shelf.lock().expect("no test panics with it")[id] = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
    id
}

#[test]
fn only_woken_futures_are_polled() {
    let shelf: Shelf = Arc::new(StdMutex::new(vec![None; 100]));
    let polls = Arc::new(AtomicUsize::new(0));
    let mut set = InFlight::new();
    for id in 0..100 {
        set.insert(id as u64, shelved(id, Arc::clone(&shelf), Arc::clone(&polls)));
    }
    let mut cx = Context::from_waker(Waker::noop());
    let mut done = Vec::new();
    assert!(set.poll(&mut cx, |_, _| panic!("nothing is ready")).is_ready());
    assert_eq!((polls.load(SeqCst), set.len()), (100, 100));
    for id in [70, 3, 70] {
        if let Some(waker) = shelf.lock().unwrap()[id].take() {
            waker.wake_by_ref();
            waker.wake();
        }
    }
    assert!(set.poll(&mut cx, |seq, output| done.push((seq, output.unwrap()))).is_ready());
    assert_eq!(done, [(70, 70), (3, 3)], "in the order of their wake-ups");
    assert_eq!((polls.load(SeqCst), set.len()), (102, 98));
}

#[test]
fn slots_are_used_again_and_a_late_wake_up_of_their_last_item_does_no_harm() {
    let shelf: Shelf = Arc::new(StdMutex::new(vec![None; 3]));
    let polls = Arc::new(AtomicUsize::new(0));
    let mut set = InFlight::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut done = Vec::new();
    let mut late = Vec::new();
    for id in 0..3 {
        set.insert(id as u64, shelved(id, Arc::clone(&shelf), Arc::clone(&polls)));
        assert!(set.poll(&mut cx, |seq, _| done.push(seq)).is_ready());
        let waker = shelf.lock().unwrap()[id].take().unwrap();
        waker.wake_by_ref();
        late.push(waker);
        assert!(set.poll(&mut cx, |seq, _| done.push(seq)).is_ready());
    }
    assert_eq!((set.slots.len(), done), (1, vec![0, 1, 2]));
    late.into_iter().for_each(Waker::wake);
    assert!(set.poll(&mut cx, |_, _| panic!("nothing is in flight")).is_ready());
}

/// Many futures that are always ready to go on end the turn of their task, and all get their
/// share: the budget of a task is 128.
#[tokio::test]
async fn futures_buffered_15_a_turn_ends_with_the_budget_and_goes_on_where_it_stopped() {
    let polls = Arc::new(AtomicUsize::new(0));
    let mut set = InFlight::new();
    for seq in 0..300 {
        let polls = Arc::clone(&polls);
        set.insert(seq, async move {
            polls.fetch_add(1, SeqCst);
        });
    }
    let (mut turns, mut done) = (0, Vec::new());
    poll_fn(|cx| {
        turns += 1;
        set.poll(cx, |seq, _| done.push(seq))
    })
    .await;
    assert_eq!((polls.load(SeqCst), turns), (300, 3));
    assert_eq!(done, (0..300).collect::<Vec<_>>());
}

#[test]
fn dropping_the_set_survives_a_destructor_that_panics() {
    struct Bad(bool);
    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(!self.0, "on purpose");
        }
    }
    let mut set = InFlight::new();
    for n in 0..3 {
        let bad = Bad(n == 1);
        set.insert(n, async move {
            std::future::pending::<()>().await;
            drop(bad);
        });
    }
    drop(set);
}
