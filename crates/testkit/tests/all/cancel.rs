//! Dropping a future at every await, and what is found by it.

use std::{
    cell::{Cell, RefCell},
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tidegate_testkit::{
    CancelPoint::{self, BeforeOperation, WhilePending},
    CancelReport, cancel_everywhere, counted,
};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::{spawn, yield_now},
    time::sleep,
};

/// Where it was dropped, in that order.
fn points<T>(op: impl AsyncFn() -> T) -> (CancelReport, Vec<CancelPoint>) {
    let seen = RefCell::new(Vec::new());
    let report = cancel_everywhere(
        || (),
        async |()| op().await,
        async |(), point| seen.borrow_mut().push(point),
    );
    (report, seen.into_inner())
}

#[test]
fn all_awaits_that_are_ready_are_visited() {
    let (report, seen) = points(async || {
        let (send, mut receive) = mpsc::channel(3);
        for n in 0..3 {
            send.send(n).await.unwrap();
        }
        for _ in 0..3 {
            receive.recv().await.unwrap();
        }
    });
    assert_eq!((report.operations(), report.suspensions(), report.points()), (6, 0, 6));
    assert_eq!(seen, [0, 1, 2, 3, 4, 5].map(BeforeOperation));
}

#[test]
fn awaits_that_wait_are_visited_before_and_in_between() {
    let (report, seen) = points(async || {
        sleep(Duration::from_secs(1)).await;
        yield_now().await;
    });
    assert_eq!(report.suspensions(), 2);
    let while_pending = [WhilePending(1), WhilePending(2)];
    // And the sleep.
    assert_eq!(seen, [&while_pending[..], &[BeforeOperation(0)]].concat());
}

#[test]
fn more_operations_than_a_budget_has_are_visited() {
    let (report, _) = points(async || {
        let permits = Semaphore::new(1);
        for _ in 0..300 {
            drop(permits.acquire().await.unwrap());
        }
    });
    assert_eq!(report.operations(), 300);
}

#[test]
fn what_is_not_tokios_is_counted_when_asked_for() {
    let (report, _) = points(async || {
        ready(()).await;
        counted(ready(())).await;
    });
    assert_eq!(report.points(), 1);
    report.assert_covered(1);
    let fewer = catch_unwind(|| report.assert_covered(2)).unwrap_err();
    assert!(fewer.downcast_ref::<String>().unwrap().contains("fewer than 2 points"));
}

#[test]
fn nothing_to_await_has_no_point() {
    let (report, _) = points(async || {});
    assert_eq!(report.points(), 0);
}

/// Takes a message out, and loses it if it is dropped before it has put it in.
#[test]
fn a_message_between_two_awaits_is_lost() {
    struct Pipes {
        from: Mutex<mpsc::Receiver<u32>>,
        to: mpsc::Sender<u32>,
        arrived: Mutex<mpsc::Receiver<u32>>,
    }
    let pipes = || {
        let (fill, from) = mpsc::channel(1);
        let (to, arrived) = mpsc::channel(1);
        fill.try_send(7).unwrap();
        Pipes { from: Mutex::new(from), to, arrived: Mutex::new(arrived) }
    };
    let left = async |pipes: &Pipes| {
        let from = pipes.from.lock().await.try_recv().is_ok();
        from || pipes.arrived.lock().await.try_recv().is_ok()
    };
    let lossy = async |pipes: &Pipes| {
        let message = pipes.from.lock().await.recv().await.unwrap();
        pipes.to.send(message).await.unwrap();
    };
    let lost = RefCell::new(Vec::new());
    let report = cancel_everywhere(pipes, lossy, async |pipes, point| {
        if !left(pipes).await {
            lost.borrow_mut().push(point);
        }
    });
    report.assert_covered(3);
    assert_eq!(*lost.borrow(), [BeforeOperation(2)], "before the send");
    // The place comes first, and nothing is awaited between the message and it.
    let careful = async |pipes: &Pipes| {
        let place = pipes.to.reserve().await.unwrap();
        let message = pipes.from.lock().await.recv().await.unwrap();
        place.send(message);
    };
    let report = cancel_everywhere(pipes, careful, async |pipes, point| {
        assert!(left(pipes).await, "{point}");
    });
    report.assert_covered(3);
}

/// A permit that is forgotten by who is dropped is waited for in vain by who comes after.
#[test]
fn a_permit_that_is_not_given_back_is_a_deadlock_of_the_next() {
    let found = catch_unwind(AssertUnwindSafe(|| {
        cancel_everywhere(
            || Semaphore::new(1),
            async |permits: &Semaphore| {
                permits.acquire().await.unwrap().forget();
                yield_now().await;
                permits.add_permits(1);
            },
            async |permits: &Semaphore, _| drop(permits.acquire().await.unwrap()),
        )
    }));
    let text = found.unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("to be dropped while it was pending for time 1: deadlock"), "{text}");
}

#[test]
fn a_task_that_is_left_by_who_is_dropped_is_found() {
    let found = catch_unwind(AssertUnwindSafe(|| {
        cancel_everywhere(
            || (),
            async |()| spawn(sleep(Duration::from_secs(1))).await.unwrap(),
            async |(), _| {},
        )
    }));
    let text = found.unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("left behind: 1 task"), "{text}");
}

#[test]
fn a_check_that_fails_goes_on_as_it_is() {
    let count = Cell::new(0);
    let found = catch_unwind(AssertUnwindSafe(|| {
        cancel_everywhere(
            || (),
            async |()| yield_now().await,
            async |(), point| {
                count.set(count.get() + 1);
                assert_ne!(point, WhilePending(1), "no good");
            },
        )
    }));
    assert!(found.unwrap_err().downcast_ref::<String>().unwrap().contains("no good"));
    assert_eq!(count.get(), 1);
}

/// What waits without being an operation of tokio's does not hide those after it.
#[test]
fn an_operation_that_is_ready_after_a_wait_is_visited() {
    struct Place(RefCell<Option<u32>>, Semaphore);
    let lossy = async |place: &Place| {
        yield_now().await;
        let message = place.0.take();
        let _permit = place.1.acquire().await.unwrap();
        place.0.replace(message);
    };
    let lost = RefCell::new(Vec::new());
    let place = || Place(RefCell::new(Some(7)), Semaphore::new(1));
    let report = cancel_everywhere(place, lossy, async |place, point| {
        if place.0.borrow().is_none() {
            lost.borrow_mut().push(point);
        }
    });
    assert_eq!(*lost.borrow(), [BeforeOperation(0)]);
    report.assert_covered(2);
}

#[test]
fn a_check_has_a_budget_of_its_own() {
    let report = cancel_everywhere(
        || Semaphore::new(1),
        async |permits: &Semaphore| drop(permits.acquire().await.unwrap()),
        async |permits: &Semaphore, point| {
            let mut acquire = std::pin::pin!(permits.acquire());
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(acquire.as_mut().poll(cx)));
            assert!(polled.await.is_ready(), "{point}");
        },
    );
    report.assert_covered(1);
}
