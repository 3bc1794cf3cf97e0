//! What is recorded of threads, tasks, and those that are dropped or panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};
use tidegate_testkit::{History, scale};

#[test]
fn each_invocation_and_each_return_has_a_place_of_its_own() {
    let history = History::new();
    let (a, b) = (history.client(7), history.client(3));
    let slow = a.begin("slow");
    b.begin("fast").end(1);
    slow.end(2);
    let all = history.operations();
    let [slow, fast] = &all[..] else { panic!("{all:?}") };
    assert_eq!((slow.client(), *slow.op(), slow.ret()), (7, "slow", Some(&2)));
    assert_eq!((slow.invoked_at(), slow.returned_at()), (0, Some(3)));
    assert_eq!((fast.invoked_at(), fast.returned_at()), (1, Some(2)));
    assert!(!slow.precedes(fast) && !fast.precedes(slow));
    b.begin("later").end(3);
    let all = history.operations();
    assert!(all[0].precedes(&all[2]) && !all[2].precedes(&all[0]));
}

#[test]
fn one_client_may_be_asked_for_again() {
    let history = History::new();
    history.client(1).begin(()).end(1);
    history.client(1).begin(()).end(2);
    let all = history.operations();
    assert_eq!(
        all.iter().map(|op| (op.client(), op.ret())).collect::<Vec<_>>(),
        [(1, Some(&1)), (1, Some(&2))]
    );
}

#[cfg(not(miri))]
#[test]
fn what_is_dropped_stays_open_if_it_has_started() {
    use std::{future::pending, time::Duration};
    use tidegate_testkit::bubble;
    use tokio::{task::yield_now, time::timeout};
    bubble(async {
        let history = History::new();
        let client = history.client(0);
        drop(client.call("never polled", async || 1));
        let hangs = client.call("hangs", async || pending::<i32>().await);
        timeout(Duration::from_secs(1), hangs).await.unwrap_err();
        let ended = client.call("ends", async || {
            yield_now().await;
            2
        });
        assert_eq!(ended.await, 2);
        let all = history.operations();
        let all: Vec<_> = all.iter().map(|op| (*op.op(), op.ret().copied())).collect();
        assert_eq!(all, [("hangs", None), ("ends", Some(2))]);
    });
}

#[test]
fn one_that_panics_stays_open() {
    let history: History<&str, ()> = History::new();
    let client = history.client(0);
    let run = || client.call_sync("panics", || panic!("on purpose"));
    catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(history.operations()[0].returned_at(), None);
}

/// A task of its own records too: the future is `Send`, and the client belongs to it.
#[tokio::test]
async fn a_task_takes_its_client_with_it() {
    let history = History::new();
    let client = history.client(0);
    let task = tokio::spawn(async move { client.call("op", async || 5).await });
    assert_eq!(task.await.unwrap(), 5);
    assert_eq!(history.operations()[0].ret(), Some(&5));
}

#[test]
fn threads_lose_no_operation_and_share_no_place() {
    let each = scale(500);
    let (history, start) = (History::new(), Barrier::new(4));
    thread::scope(|scope| {
        for id in 0..4 {
            let (client, start) = (history.client(id), &start);
            scope.spawn(move || {
                start.wait();
                (0..each).for_each(|n| assert_eq!(client.call_sync(n, || n), n));
            });
        }
    });
    let all = history.operations();
    assert_eq!(all.len() as u64, 4 * each);
    let mut places: Vec<_> =
        all.iter().flat_map(|op| [op.invoked_at(), op.returned_at().unwrap()]).collect();
    places.sort_unstable();
    assert!(places.iter().copied().eq(0..8 * each));
    for id in 0..4 {
        let own: Vec<_> = all.iter().filter(|op| op.client() == id).collect();
        assert!(own.windows(2).all(|pair| pair[0].precedes(pair[1])), "client {id}");
    }
}

/// The second client acts only after the first has: what is recorded meanwhile shows no effect
/// without its cause.
#[test]
fn what_is_taken_while_clients_go_on_holds_together() {
    let (history, is_over) = (History::new(), &AtomicBool::new(false));
    thread::scope(|scope| {
        let (cause, effect) = (history.client(0), history.client(1));
        scope.spawn(move || {
            while !is_over.load(Relaxed) {
                cause.begin(()).end(());
                effect.begin(()).end(());
            }
        });
        let mut seen = 0;
        while seen < scale(20_000) {
            let all = history.operations();
            let effects = all.iter().filter(|op| op.client() == 1).count();
            if effects > all.len() - effects {
                is_over.store(true, Relaxed);
                panic!("{effects} effects of {} causes", all.len() - effects);
            }
            seen = all.len() as u64;
        }
        is_over.store(true, Relaxed);
    });
}
