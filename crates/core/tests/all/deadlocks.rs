//! Who holds what and who awaits whom, and circles of them, in a look from outside.

use crate::{
    inspect::{find, settle},
    losses::poll_once,
};
use std::{convert::Infallible, future::pending, sync::Arc};
use tidegate_core::{
    Cx, Task, TaskError,
    inspect::{Resource, Watch},
    scope,
};
use tokio::{
    sync::{Mutex, oneshot},
    task::yield_now,
};

type Never = Infallible;

/// The classic: each holds one lock and waits for the other's.
#[tidegate_testkit::test]
async fn two_locks_in_opposite_order_are_a_deadlock_with_both_places() {
    let job = scope("bank", async |cx: Cx<Never>| {
        let locks =
            ["left", "right"].map(|name| (Arc::new(Mutex::new(())), Resource::new("lock", name)));
        for (name, [first, second]) in [("a", [0, 1]), ("b", [1, 0])] {
            let locks = locks.clone();
            cx.spawn(name, async move {
                let _first = locks[first].0.lock().await;
                let _held = locks[first].1.hold();
                yield_now().await;
                let _second = locks[second].1.waiting("the second", locks[second].0.lock()).await;
                Ok(())
            });
        }
        yield_now().await;
        assert!(cx.tree().deadlocks().is_empty(), "nobody waits yet");
        settle().await;
        let tree = cx.tree();
        let deadlocks = tree.deadlocks();
        assert_eq!(deadlocks.len(), 1, "{tree}");
        let links = deadlocks[0].links();
        assert_eq!([0, 1].map(|n| links[n].path()), ["/bank/a", "/bank/b"]);
        assert_eq!(links[0].wait().unwrap().location().file(), file!());
        let text = deadlocks[0].to_string();
        let at = links[0].wait().unwrap().location();
        let at = format!("{}:{}", at.file(), at.line());
        let lines = [
            "deadlock:".to_owned(),
            format!("  /bank/a waits for \"the second\" (lock right) at {at}, held by /bank/b"),
            format!("  /bank/b waits for \"the second\" (lock left) at {at}, held by /bank/a"),
        ];
        assert_eq!(text, lines.join("\n"));
        assert!(tree.to_string().ends_with(&format!("{text}\n")));
        assert!(tree.to_dot().contains("color=red"));
        assert!(tree.to_json().ends_with(",\"deadlocks\":[[1,2]]}"), "{}", tree.to_json());
        cx.cancel("they never end");
        Ok(())
    });
    assert_eq!(job.await.unwrap_err().report().aborted().len(), 2);
}

/// A pool of two: as long as one of the holders goes on, it may give its part back.
#[tidegate_testkit::test]
async fn a_pool_is_no_deadlock_while_one_of_its_holders_goes_on() {
    let job = scope("pool", async |cx: Cx<Never>| {
        let pool = Resource::new("pool", "db");
        let stuck = |name: &'static str, stuck: bool| {
            let (cx, pool) = (cx.clone(), pool.clone());
            let child = cx.clone();
            child.spawn(name, async move {
                let _held = pool.hold();
                if stuck {
                    pool.waiting("one more", pending::<()>()).await;
                }
                cx.cancelled().await;
                Ok(())
            });
        };
        stuck("a", true);
        stuck("b", false);
        settle().await;
        assert!(cx.tree().deadlocks().is_empty(), "{}", cx.tree());
        let tree = cx.tree();
        assert_eq!(tree.resources()[0].holders().len(), 2);
        assert!(
            tree.to_string().contains("pool db of /pool, held by /pool/a, /pool/b ("),
            "{tree}"
        );
        cx.cancel("the test ends");
        Ok(())
    });
    job.await.unwrap_err();
}

#[tokio::test]
async fn a_hold_that_is_taken_over_belongs_to_who_took_it() {
    let job = scope("job", async |cx: Cx<Never>| {
        let lock = Resource::new("lock", "l");
        let mut hold = lock.hold();
        assert_eq!(cx.tree().resources()[0].holders(), [Some(0)]);
        let child = cx.clone();
        cx.spawn("child", async move {
            hold.take_over();
            child.cancelled().await;
            drop(hold);
            Ok(())
        });
        settle().await;
        assert_eq!(cx.tree().resources()[0].holders(), [Some(1)]);
        cx.cancel("the test ends");
        settle().await;
        assert!(cx.tree().resources()[0].holders().is_empty());
        drop(lock);
        assert!(cx.tree().resources().is_empty(), "forgotten with the last handle");
        Ok(())
    });
    job.await.unwrap();
}

/// `join from inside a child`: it would wait for itself for ever.
#[tokio::test]
async fn a_child_that_awaits_itself_is_told_so() {
    let job = scope("job", async |cx: Cx<Never>| {
        let (give, given) = oneshot::channel();
        let child = cx.spawn("child", async move {
            let own: Task<bool, Never> = given.await.unwrap();
            Ok(matches!(own.await, Err(TaskError::Itself)))
        });
        let (other, wait) = oneshot::channel();
        let result = cx.spawn("other", async move {
            wait.await.unwrap();
            Ok(())
        });
        give.send(child).unwrap();
        settle().await;
        other.send(()).unwrap();
        result.await.unwrap();
        Ok(())
    });
    job.await.unwrap();
}

/// The same by way of the body of a scope that the child runs, and of two that await each
/// other: nobody is told at once, and a snapshot finds them.
#[tidegate_testkit::test]
async fn children_that_await_each_other_are_a_deadlock() {
    let _watch = Watch::start().unwrap();
    let job = scope("job", async |cx: Cx<Never>| {
        let (give, given): (Vec<_>, Vec<_>) =
            (0..2).map(|_| oneshot::channel::<Task<(), Never>>()).unzip();
        let tasks = given.into_iter().zip(["a", "b"]).map(|(given, name)| {
            cx.spawn(name, async move {
                given.await.unwrap().await.ok();
                Ok(())
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for (give, task) in give.into_iter().rev().zip(tasks) {
            give.send(task).ok().unwrap();
        }
        settle().await;
        let deadlocks = cx.tree().deadlocks();
        assert_eq!(deadlocks.len(), 1, "{}", cx.tree());
        let at = format!("{}:{}", file!(), find(&cx.tree(), "a").location().line());
        let text = deadlocks[0].to_string();
        let lines = [
            "deadlock:".to_owned(),
            format!("  /job/a waits for /job/b (spawned at {at})"),
            format!("  /job/b waits for /job/a (spawned at {at})"),
        ];
        assert_eq!(text, lines.join("\n"));
        cx.cancel("they never end");
        Ok(())
    });
    assert_eq!(job.await.unwrap_err().report().aborted().len(), 2);
}

#[tidegate_testkit::test]
async fn a_grandchild_that_awaits_the_task_above_it_is_a_deadlock() {
    let _watch = Watch::start().unwrap();
    let job = scope("job", async |cx: Cx<Never>| {
        let (give, given) = oneshot::channel::<Task<(), Never>>();
        let outer = cx.clone();
        let above = cx.spawn("above", async move {
            let inner = outer.scope("inner", async |cx: Cx<Never>| {
                cx.spawn("below", async move {
                    given.await.unwrap().await.ok();
                    Ok(())
                });
                Ok(())
            });
            inner.await.ok();
            Ok(())
        });
        give.send(above).ok().unwrap();
        settle().await;
        let deadlocks = cx.tree().deadlocks();
        assert_eq!(deadlocks.len(), 1, "{}", cx.tree());
        let paths: Vec<_> =
            deadlocks[0].links().iter().map(|link| link.path().to_owned()).collect();
        assert_eq!(paths, ["/job/above", "/job/inner", "/job/inner/below"]);
        let text = deadlocks[0].to_string();
        let begins = [
            "deadlock:",
            "  /job/above waits for what is in it: /job/inner (spawned at ",
            "  /job/inner waits for what is in it: /job/inner/below (spawned at ",
            "  /job/inner/below waits for /job/above (spawned at ",
        ];
        assert_eq!(text.lines().count(), 4);
        let is_so = text.lines().zip(begins).all(|(line, begin)| line.starts_with(begin));
        assert!(is_so, "{text}");
        cx.cancel("they never end");
        Ok(())
    });
    job.await.unwrap_err();
}

/// The handle has been polled by a child that has given it away since: whoever polled it last waits.
#[tidegate_testkit::test]
async fn a_task_that_was_given_away_is_awaited_by_who_has_it_now() {
    let _watch = Watch::start().unwrap();
    let job = scope("job", async |cx: Cx<Never>| {
        let (give, given) = oneshot::channel::<Task<(), Never>>();
        let (pass, passed) = oneshot::channel::<Task<(), Never>>();
        let first = cx.spawn("first", async move {
            let mut task = given.await.unwrap();
            poll_once(&mut task).await;
            pass.send(task).ok().unwrap();
            pending::<Result<(), Never>>().await
        });
        let awaited = cx.spawn("awaited", async move {
            first.await.ok();
            Ok(())
        });
        cx.spawn("second", async move {
            passed.await.unwrap().await.ok();
            Ok(())
        });
        give.send(awaited).ok().unwrap();
        settle().await;
        let tree = cx.tree();
        assert_eq!(find(&tree, "first").waits(), []);
        assert_eq!(find(&tree, "second").waits().len(), 1);
        assert!(tree.deadlocks().is_empty(), "{tree}");
        cx.cancel("they never end");
        Ok(())
    });
    assert_eq!(job.await.unwrap_err().report().aborted().len(), 3);
}
