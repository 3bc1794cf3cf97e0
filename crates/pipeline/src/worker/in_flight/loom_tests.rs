//! Models of waking slots: run with `--cfg tidegate_loom`.

use super::*;
use crate::queue::loom_tests::model;
use loom::future::block_on;
use std::future::poll_fn;
use tidegate_core::sync::thread;

/// The worker hears of every wake-up, also of one that comes while it takes the list.
#[test]
fn loom_no_wake_up_of_a_slot_is_lost() {
    model("no_wake_up_of_a_slot_is_lost", || {
        let list = Arc::new(WokenList::new());
        let slots = [list.add_slot(), list.add_slot()];
        let wakers = slots.map(|slot| {
            let list = Arc::clone(&list);
            thread::spawn(move || list.wake(slot))
        });
        let mut seen = VecDeque::new();
        block_on(poll_fn(|cx| {
            list.take(cx.waker(), &mut seen);
            if seen.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_ne!(seen[0], seen[1]);
    });
}

/// A slot that is woken while it is being polled is polled again.
#[test]
fn loom_a_slot_woken_during_its_poll_is_entered_again() {
    model("a_slot_woken_during_its_poll_is_entered_again", || {
        let list = Arc::new(WokenList::new());
        let slot = list.add_slot();
        list.wake(slot);
        let mut seen = VecDeque::new();
        list.take(Waker::noop(), &mut seen);
        let other = Arc::clone(&list);
        let waker = thread::spawn(move || other.wake(slot));
        let mut again = VecDeque::new();
        block_on(poll_fn(|cx| {
            list.take(cx.waker(), &mut again);
            if again.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        }));
        waker.join().unwrap();
        assert_eq!((seen.len(), again.len()), (1, 1));
    });
}
