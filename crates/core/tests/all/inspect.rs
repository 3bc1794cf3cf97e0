//! What a look from outside tells: of scopes, children, waits, holders and circles.

use crate::losses::poll_once;
use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{Arc, mpsc},
    time::Duration,
};
use tidegate_core::{
    CancelToken, Cx, OnError, Scope, ScopeError, WorkKind,
    inspect::{Resource, Snapshot, Watch, Work, WorkState, waiting},
    scope,
};
use tokio::{
    sync::{Barrier, oneshot},
    task::yield_now,
};

type Never = Infallible;

pub(crate) fn find<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Work {
    let found: Vec<_> = snapshot.work().iter().filter(|w| w.name().as_str() == name).collect();
    assert_eq!(found.len(), 1, "{name} in\n{snapshot}");
    found[0]
}

/// Lets every task of a current-thread runtime come to rest.
pub(crate) async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// A child that waits under a label until its scope is cancelled.
fn wait(cx: &Cx<Never>, name: &'static str, label: &'static str) {
    let child = cx.clone();
    cx.spawn(name, async move {
        waiting(label, child.cancelled()).await;
        Ok(())
    });
}

/// One of each kind: a scope that joins below the child that runs it, blocking work, a child that
/// waits, one that says nothing and one that has not begun.
async fn one_of_each() -> Snapshot {
    let tree = scope("server", async |cx: Cx<Never>| {
        let outer = cx.clone();
        cx.spawn("conn", async move {
            let joining = outer.scope("conn-7", async |cx| {
                wait(&cx, "read", "bytes");
                Ok(())
            });
            joining.await.ok();
            Ok(())
        });
        let silent = cx.clone();
        cx.spawn("silent", async move {
            silent.cancelled().await;
            Ok(())
        });
        settle().await;
        let (end, ended) = mpsc::sync_channel::<()>(1);
        let (begin, begun) = oneshot::channel();
        cx.spawn_blocking("hash", move || {
            begin.send(()).unwrap();
            {
                ended.recv().ok();
                Ok(())
            }
        });
        begun.await.unwrap();
        cx.spawn("fresh", async { Ok(()) });
        let tree = cx.tree();
        drop(end);
        cx.cancel("the test ends");
        Ok(tree)
    });
    tree.await.unwrap()
}

#[tokio::test]
async fn every_kind_of_work_has_a_place_and_a_state() {
    let tree = one_of_each().await;
    let rows: Vec<_> = tree
        .work()
        .iter()
        .enumerate()
        .map(|(n, work)| (tree.path(n), work.depth(), work.parent(), work.kind(), work.state()))
        .collect();
    let row =
        |path: &str, depth, parent, kind, state| (path.to_owned(), depth, parent, kind, state);
    let (task, blocking) = (WorkKind::Task, WorkKind::Blocking);
    let expected = [
        row("/server", 0, None, WorkKind::Scope, WorkState::Running),
        row("/server/conn", 1, Some(0), task, WorkState::Idle),
        row("/server/conn-7", 2, Some(1), WorkKind::Scope, WorkState::Joining),
        row("/server/conn-7/read", 3, Some(2), task, WorkState::Waiting),
        row("/server/silent", 1, Some(0), task, WorkState::Idle),
        row("/server/hash", 1, Some(0), blocking, WorkState::Running),
        row("/server/fresh", 1, Some(0), task, WorkState::Queued),
    ];
    assert_eq!(rows, expected, "{tree}");
    assert_eq!(tree.work()[0].live(), Some(5));
    assert_eq!(tree.work()[3].waits()[0].label(), "bytes");
    assert_eq!(tree.work()[3].waits()[0].location().file(), file!());
    assert_eq!(tree.work()[3].location().file(), file!());
}

/// Another test of the process may watch: then the text tells ages, times and polls, too.
fn without_times(line: &str) -> String {
    let is_time =
        |part: &&str| part.ends_with(" old") || part.ends_with(" ago") || part.contains(" polls");
    let untimed = |part| match str::rsplit_once(part, " for ") {
        Some((before, time)) if time.starts_with(|c: char| c.is_ascii_digit()) => before,
        _ => part,
    };
    let parts: Vec<_> = line.split(", ").filter(|part| !is_time(part)).map(untimed).collect();
    parts.join(", ")
}

#[tokio::test]
async fn the_text_is_a_tree() {
    let tree = one_of_each().await;
    let text = tree.to_string();
    // Places in the source move with every edit of this file.
    let lines = text.lines().map(|line| line.split(" (").next().unwrap());
    let lines = lines.map(|line| without_times(line.split(" at ").next().unwrap()));
    let lines: Vec<_> = lines.collect();
    let expected = [
        "/server: scope running, 5 live",
        "├─ conn: task idle",
        "│  └─ conn-7: scope joining, 1 live",
        "│     └─ read: task waiting for \"bytes\"",
        "├─ silent: task idle",
        "├─ hash: blocking running",
        "└─ fresh: task queued",
    ];
    assert_eq!(lines, expected, "{text}");
}

/// Strings that need escapes, in names, labels and details.
#[tokio::test]
async fn json_and_dot_escape_what_they_quote() {
    let name = "a \"b\"\\c\n\u{1}ü";
    let job = scope(name.to_owned(), async |cx: Cx<Never>| {
        let _resource =
            Resource::with_details("pool", name, move || vec![("state", name.to_owned())]);
        Ok((cx.tree().to_json(), cx.tree().to_dot()))
    });
    let (json, dot) = job.await.unwrap();
    let quoted = r#""a \"b\"\\c\n\u0001ü""#;
    assert!(
        json.contains(&format!("{{\"work\":[{{\"name\":{quoted},\"kind\":\"scope\"")),
        "{json}"
    );
    assert!(json.contains(&format!("\"details\":{{\"state\":{quoted}}},\"holders\":[]")), "{json}");
    let depth = json.chars().fold(0, |depth, c| match c {
        '{' | '[' => depth + 1,
        '}' | ']' => depth - 1,
        _ => depth,
    });
    assert_eq!(depth, 0, "{json}");
    // Another test of the process may watch: then it says for how long.
    assert!(dot.contains(r#"[label="a \"b\"\\c\n ü\nrunning"#), "{dot}");
    assert!(dot.contains(r#"[label="pool a \"b\"\\c\n ü", shape=ellipse];"#), "{dot}");
}

/// The snapshot of the process has the roots, also one that was dropped while a child lives.
#[tokio::test]
async fn roots_are_found_until_their_last_child_has_ended() {
    let is_there = |name| Snapshot::take().work().iter().any(|work| work.name().as_str() == name);
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    let mut job = Box::pin(scope("dropped root", async |cx: Cx<Never>| {
        cx.spawn_blocking("hash", move || {
            stopped.recv().ok();
            Ok(())
        });
        pending::<Result<(), _>>().await
    }));
    assert!(!is_there("dropped root"), "before the first poll");
    poll_once(&mut job).await;
    assert!(is_there("dropped root"));
    drop(job);
    let snapshot = Snapshot::take();
    let root = find(&snapshot, "dropped root");
    assert_eq!(root.state(), WorkState::Orphaned);
    assert!(root.is_aborting() && root.cause().unwrap().to_string().contains("was dropped"));
    drop(stop);
    while is_there("dropped root") {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_wait_is_forgotten_when_it_ends_or_is_dropped() {
    let job = scope("job", async |cx: Cx<Never>| {
        let waits = || {
            cx.tree().work()[0]
                .waits()
                .iter()
                .map(tidegate_core::inspect::Wait::label)
                .collect::<Vec<_>>()
        };
        let (tell, told) = oneshot::channel::<()>();
        let mut first = Box::pin(waiting("first", told));
        let mut second = Box::pin(waiting("second", pending::<()>()));
        poll_once(&mut first).await;
        assert_eq!(waits(), ["first"]);
        poll_once(&mut second).await;
        poll_once(&mut second).await;
        assert_eq!(waits(), ["first", "second"], "once each");
        tell.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(waits(), ["second"]);
        drop(second);
        assert!(waits().is_empty());
        waiting("nothing", async {}).await;
        Ok(())
    });
    job.await.unwrap();
}

/// A future that was suspended in one child and goes on in another.
#[tokio::test]
async fn a_wait_moves_with_its_future() {
    let job = scope("job", async |cx: Cx<Never>| {
        let mut moving = Box::pin(waiting("moving", cx.token().cancelled_owned()));
        poll_once(&mut moving).await;
        assert_eq!(find(&cx.tree(), "job").waits().len(), 1);
        cx.spawn("child", async move {
            moving.await;
            Ok(())
        });
        settle().await;
        let tree = cx.tree();
        assert!(find(&tree, "job").waits().is_empty(), "{tree}");
        assert_eq!(find(&tree, "child").waits()[0].label(), "moving");
        cx.cancel("the test ends");
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn details_that_panic_are_told_as_that() {
    let job = scope("job", async |cx: Cx<Never>| {
        let _bad = Resource::with_details("pool", "bad", || panic!("on purpose"));
        Ok(cx.tree().resources()[0].details().to_vec())
    });
    assert_eq!(job.await.unwrap(), [("details", "panicked".to_owned())]);
}

/// Takes snapshots from another thread until `is_so` of one.
fn watch_until(is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
    loop {
        let snapshot = Snapshot::take();
        if is_so(&snapshot) {
            return snapshot;
        }
        std::thread::yield_now();
    }
}

/// A poll that does not end is seen from outside, with its age.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_poll_that_hangs_is_named_with_its_time() {
    let _watch = Watch::start().unwrap();
    let (end, ended) = mpsc::sync_channel::<()>(1);
    let looker = std::thread::Builder::new().spawn(move || {
        let long = Duration::from_millis(60);
        let hangs = |work: &Work| {
            work.name().as_str() == "hangs" && work.running_for().is_some_and(|time| time >= long)
        };
        let seen = watch_until(|snapshot| snapshot.work().iter().any(hangs));
        drop(end);
        seen
    });
    let job = scope("hanging", async |cx: Cx<Never>| {
        cx.spawn("hangs", async move {
            {
                ended.recv().ok();
                Ok(())
            }
        })
        .await
        .unwrap();
        Ok(())
    });
    job.await.unwrap();
    let seen = looker.unwrap().join().unwrap();
    let hangs = find(&seen, "hangs");
    assert_eq!(hangs.state(), WorkState::Running);
    assert!(hangs.age().unwrap() >= hangs.running_for().unwrap());
    assert!(seen.to_string().contains("hangs: task running for "), "{seen}");
}

/// Polls, busy time and the last poll, as far as the clock has moved on.
#[tokio::test]
async fn polls_are_counted_while_somebody_watches() {
    let watch = Watch::start().unwrap();
    let job = scope("job", async |cx: Cx<Never>| {
        let spinner = cx.clone();
        cx.spawn("spins", async move {
            while !spinner.is_cancelled() {
                yield_now().await;
            }
            Ok(())
        });
        let tree = loop {
            yield_now().await;
            let tree = cx.tree();
            let spins = find(&tree, "spins");
            if spins.polls() > 100
                && !spins.busy().is_zero()
                && spins.age() > Some(Duration::from_millis(50))
            {
                break tree;
            }
        };
        assert!(tree.work()[0].polls() > 100, "the body, too");
        let spins = find(&tree, "spins");
        assert!(spins.last_poll().unwrap() <= spins.age().unwrap());
        assert!(tree.to_json().contains("\"polls\":"));
        cx.cancel("the test ends");
        Ok(())
    });
    job.await.unwrap();
    drop(watch);
}

#[tokio::test]
async fn a_difference_names_what_came_what_went_and_what_does_not_move() {
    let _watch = Watch::start().unwrap();
    let job = scope("job", async |cx: Cx<Never>| {
        wait(&cx, "stays", "the end");
        let (tell, told) = oneshot::channel::<()>();
        let goes = cx.spawn("goes", async move {
            told.await.ok();
            Ok(())
        });
        settle().await;
        let before = cx.tree();
        drop(tell);
        goes.await.unwrap();
        // Into the slot of the one that went.
        for _ in 0..4 {
            wait(&cx, "came", "the end");
        }
        settle().await;
        let after = cx.tree();
        let difference = after.since(&before);
        let names =
            |work: Vec<&Work>| work.iter().map(|w| w.name().to_string()).collect::<Vec<_>>();
        assert_eq!(names(difference.appeared().collect()), ["came"; 4]);
        assert_eq!(names(difference.ended().collect()), ["goes"]);
        assert_eq!(names(difference.unmoved().collect()), ["stays"]);
        let text = difference.to_string();
        assert!(text.starts_with("- /job/goes goes: task "), "{text}");
        assert_eq!(text.lines().count(), 6);
        assert!(after.since(&after).appeared().next().is_none());
        cx.cancel("the test ends");
        Ok(())
    });
    job.await.unwrap();
}

/// What a straggler did when it was aborted, body and child.
#[tidegate_testkit::test]
async fn aborted_work_is_told_with_what_it_waited_for() {
    let grace = Scope::builder("job").grace(Duration::from_secs(1)).on_error(OnError::FailFast);
    let job = grace.run(async |cx: Cx<Never>| {
        cx.spawn("child", waiting("a reply", pending::<Result<(), _>>()));
        settle().await;
        cx.cancel("enough");
        waiting("godot", pending::<Result<(), _>>()).await
    });
    let error: ScopeError<Never> = job.await.unwrap_err();
    let mut aborted: Vec<_> = error.report().aborted().iter().collect();
    aborted.sort_by_key(|straggler| straggler.task().path().len());
    let waits: Vec<_> = aborted.iter().map(|straggler| straggler.waits()[0].label()).collect();
    assert_eq!(waits, ["godot", "a reply"]);
    assert_eq!(aborted[1].state(), Some(WorkState::Waiting));
    assert!(error.to_string().contains("waiting for \"a reply\" at "), "{error}");
}

/// A look at a deep and a wide tree: no recursion, nothing quadratic.
#[tokio::test]
async fn ten_thousand_nested_scopes_are_seen() {
    const DEPTH: usize = 10_000;
    let token = CancelToken::new();
    let mut open = Vec::new();
    let mut next: Option<Cx<Never>> = None;
    for n in 0..DEPTH {
        let (tell, told) = oneshot::channel();
        let body = async move |cx: Cx<Never>| {
            tell.send(cx).ok();
            pending::<Result<(), _>>().await
        };
        let builder = Scope::builder(if n == 0 { "top" } else { "s" });
        let scope: std::pin::Pin<Box<dyn Future<Output = _>>> = match &next {
            None => Box::pin(builder.token(&token).run(body)),
            Some(parent) => Box::pin(builder.parent(parent).run(body)),
        };
        let mut scope = scope;
        poll_once(&mut scope).await;
        next = Some(told.await.unwrap());
        open.push(scope);
    }
    let tree = Snapshot::take();
    let deepest = tree.work().iter().map(Work::depth).max().unwrap();
    // Other tests of this process may have deep trees, too.
    assert!(deepest >= DEPTH - 1, "{deepest}");
    assert!(tree.deadlocks().is_empty());
    drop((next, open));
}

/// Looks from one thread while others spawn and end: every picture is a tree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_while_work_comes_and_goes_stops_nobody() {
    let job = scope("churn", async |cx: Cx<Never>| {
        let both_spawn = Arc::new(Barrier::new(3));
        let churn = |name: &'static str| {
            let (spawner, both_spawn) = (cx.clone(), Arc::clone(&both_spawn));
            cx.spawn(name, async move {
                let mut spawned = 0_usize;
                while !spawner.is_stopping() {
                    let nested = spawner.scope("nested", async |cx: Cx<Never>| {
                        for _ in 0..4 {
                            cx.spawn("leaf", async {
                                yield_now().await;
                                Ok(())
                            });
                        }
                        Ok(())
                    });
                    nested.await.unwrap();
                    spawned += 4;
                    if spawned == 4 {
                        both_spawn.wait().await;
                    }
                }
                Ok(spawned)
            })
        };
        let churns = [churn("a"), churn("b")];
        both_spawn.wait().await;
        for _ in 0..500 {
            let tree = cx.tree();
            for (index, work) in tree.work().iter().enumerate() {
                assert!(work.parent().is_none_or(|parent| parent < index));
                assert_eq!(work.depth(), work.parent().map_or(0, |p| tree.work()[p].depth() + 1));
            }
        }
        cx.stop("enough");
        for churn in churns {
            assert!(churn.await.unwrap() > 0);
        }
        Ok(())
    });
    pin!(job).await.unwrap();
}
