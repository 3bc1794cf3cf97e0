//! Scopes whose future is dropped midway, and scopes in scopes.

use super::{Alive, Error, explore, patient, said, search_alone, sometime, unless};
use crate::{Cx, ScopeError, join_orphans, orphans, rt};
use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::oneshot;

/// A nested scope is dropped while its children fail: the parent waits for them, and each error
/// is told once, by the one scope or by the other.
#[test]
fn shuttle_a_scope_dropped_while_its_children_fail() {
    let ways = ["adopted 0", "adopted 1", "adopted 2", "returned"];
    explore("a_scope_dropped_while_its_children_fail", &ways, || async {
        dropped_midway(|cx| async move {
            cx.cancelled().await;
            Ok(())
        })
        .await
    });
}

/// The same when its body has ended, and it joins.
#[test]
fn shuttle_a_scope_dropped_while_it_joins() {
    let ways = ["adopted 0", "adopted 1", "adopted 2", "returned"];
    explore("a_scope_dropped_while_it_joins", &ways, || async {
        dropped_midway(|_| async { Ok(()) }).await
    });
}

async fn dropped_midway<F>(body: fn(Cx<Error>) -> F) -> String
where
    F: Future<Output = Result<(), Error>>,
{
    let (alive, mut outer, mut inner) = (Alive::default(), None, None);
    let mut returned = None;
    let result = patient("outer")
        .run(async |cx: Cx<Error>| {
            outer = Some(cx.clone());
            let nested = patient("nested").parent(&cx).run(async |cx: Cx<Error>| {
                inner = Some(cx.clone());
                for name in ["x", "y"] {
                    let living = alive.one();
                    cx.spawn(name, async move {
                        let _living = living;
                        sometime().await;
                        Err::<(), _>(name)
                    });
                }
                body(cx).await
            });
            returned = unless(sometime(), nested).await;
            Err::<(), _>("outer")
        })
        .await;
    assert_eq!(alive.count(), 0);
    let outer = said(&outer.unwrap(), result);
    assert_eq!((outer.first.as_str(), outer.faults.len()), ("outer", 1));
    assert!(outer.aborted.is_empty(), "it was dropped on purpose: {outer:?}");
    if let Some(result) = returned {
        assert_eq!(said(&inner.unwrap(), result).faults, ["x", "y"]);
        assert!(outer.adopted.is_empty());
        return "returned".to_owned();
    }
    let told = outer.adopted.iter().chain(&outer.adopted_aborted).cloned();
    assert_eq!(super::sorted(told), ["x", "y"], "an error is called as its child is");
    format!("adopted {}", outer.adopted.len())
}

/// A root scope that is dropped has nobody above it: the reaper waits for its children. It is one
/// for the whole process.
#[test]
fn shuttle_the_children_of_a_dropped_root_end() {
    search_alone("the_children_of_a_dropped_root_end", &["aborted", "ended"], || async {
        let (alive, ended) = (Alive::default(), Arc::<AtomicUsize>::default());
        let root = patient("root").run(async |cx: Cx<Error>| {
            for is_stuck in [false, true] {
                let (living, ended) = (alive.one(), Arc::clone(&ended));
                cx.spawn("child", async move {
                    let _living = living;
                    sometime().await;
                    if is_stuck {
                        pending::<()>().await;
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                });
            }
            pending::<Result<(), Error>>().await
        });
        assert!(unless(sometime(), root).await.is_none());
        join_orphans().await;
        assert_eq!((alive.count(), orphans()), (0, 0));
        if ended.load(Ordering::Relaxed) == 1 { "ended".to_owned() } else { "aborted".to_owned() }
    });
}

/// Blocking work cannot be aborted: the scope above a dropped one waits until it looks.
#[test]
fn shuttle_a_dropped_scope_with_blocking_work() {
    explore(
        "a_dropped_scope_with_blocking_work",
        &["returned", "saw it", "unrun", "was done"],
        || async {
            let (alive, looks) = (Alive::default(), Arc::<AtomicUsize>::default());
            let (seen, mut outer) = (Arc::clone(&looks), None);
            let mut has_returned = false;
            let result = patient("outer")
                .run(async |cx: Cx<Error>| {
                    outer = Some(cx.clone());
                    let nested = patient("nested").parent(&cx).run(async |cx: Cx<Error>| {
                        let (living, inner) = (alive.one(), cx.clone());
                        cx.spawn_blocking("work", move || {
                            let _living = living;
                            seen.fetch_add(1, Ordering::Relaxed);
                            inner.check().map_err(|_| "work")
                        });
                        Ok(())
                    });
                    has_returned = unless(sometime(), nested).await.is_some();
                    Err::<(), _>("outer")
                })
                .await;
            assert_eq!(alive.count(), 0);
            let said = said(&outer.unwrap(), result);
            let has_run = looks.load(Ordering::Relaxed) == 1;
            match (has_returned, has_run, said.adopted.len(), said.adopted_aborted.len()) {
                (true, true, 0, 0) => "returned".to_owned(),
                // It looked before the scope was dropped.
                (false, true, 0, 0) => "was done".to_owned(),
                (false, true, 1, 0) => "saw it".to_owned(),
                (false, false, 0, 1) => "unrun".to_owned(),
                odd => panic!("{odd:?} {said:?}"),
            }
        },
    );
}

/// Three scopes, one in the other, fail at both ends: whichever error comes first, the innermost
/// is told by its own scope, and the root has one error of each side.
#[test]
fn shuttle_three_scopes_that_fail_from_both_ends() {
    explore("three_scopes_that_fail_from_both_ends", &["inner", "outer"], || async {
        let (alive, mut root) = (Alive::default(), None);
        let told = Arc::<Mutex<Vec<String>>>::default();
        let result = patient("root")
            .run(async |cx: Cx<Error>| {
                root = Some(cx.clone());
                let living = alive.one();
                cx.spawn("outer", async move {
                    let _living = living;
                    Err::<(), _>("outer")
                });
                let middle = patient("middle").parent(&cx).run(async |cx: Cx<Error>| {
                    let inmost = patient("inmost").parent(&cx).run(async |cx: Cx<Error>| {
                        let living = alive.one();
                        cx.spawn("inner", async move {
                            let _living = living;
                            Err::<(), _>("inner")
                        });
                        cx.cancelled().await;
                        Ok(())
                    });
                    pass_on(&told, inmost.await)
                });
                pass_on(&told, middle.await)
            })
            .await;
        assert_eq!(alive.count(), 0);
        let root = said(&root.unwrap(), result);
        assert_eq!(root.faults, ["inner", "outer"]);
        assert_eq!(*told.lock().unwrap(), ["inner", "inner"]);
        root.first
    });
}

fn pass_on(told: &Mutex<Vec<String>>, result: Result<(), ScopeError<Error>>) -> Result<(), Error> {
    let error = result.unwrap_err();
    let faults = error.reasons().filter(|reason| super::is_fault(reason)).map(super::word);
    told.lock().unwrap().extend(faults);
    Err("inner")
}

/// A tree of scopes is dropped while it grows.
#[test]
fn shuttle_a_tree_dropped_while_it_grows() {
    let ways = ["0 grew", "1 grew", "2 grew", "3 grew"];
    explore("a_tree_dropped_while_it_grows", &ways, || async {
        let (alive, grown) = (Alive::default(), Arc::<AtomicUsize>::default());
        let result = patient("outer")
            .run(async |cx: Cx<Error>| {
                let nested = patient("nested").parent(&cx).run(async |cx: Cx<Error>| {
                    for _ in 0..3 {
                        let (alive, grown, inner) = (alive.clone(), Arc::clone(&grown), cx.clone());
                        cx.spawn("opener", async move {
                            let _living = alive.one();
                            let deeper = patient("deeper").parent(&inner);
                            let deeper = deeper.run(async |cx: Cx<Error>| {
                                grown.fetch_add(1, Ordering::Relaxed);
                                let living = alive.one();
                                cx.spawn("leaf", async move {
                                    let _living = living;
                                    pending::<Result<(), _>>().await
                                });
                                pending::<Result<(), Error>>().await
                            });
                            deeper.await.map_err(|_| "deeper")
                        });
                    }
                    pending::<Result<(), Error>>().await
                });
                let has_returned = unless(sometime(), nested).await.is_some();
                assert!(!has_returned);
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0, "the scope above waits for the whole tree");
        result.unwrap();
        format!("{} grew", grown.load(Ordering::Relaxed))
    });
}

/// The handle of a scope outlives it, and is used meanwhile by others.
#[test]
fn shuttle_a_child_that_leaves_its_scope_open_to_others() {
    explore(
        "a_child_that_leaves_its_scope_open_to_others",
        &["both", "first", "none", "second"],
        || async {
            let alive = Alive::default();
            let mut way = [false; 2];
            let (outsiders, tells): (Vec<_>, Vec<_>) = (0..2)
                .map(|_| {
                    let (tell, told) = oneshot::channel::<Cx<Error>>();
                    let alive = alive.clone();
                    let outsider = rt::spawn(async move {
                        let cx = told.await.unwrap();
                        let late = cx.spawn("late", async move {
                            let _living = alive.one();
                            sometime().await;
                            Ok(())
                        });
                        late.await.is_ok()
                    });
                    (outsider, tell)
                })
                .unzip();
            let scope = patient("scope").run(async |cx: Cx<Error>| {
                for tell in tells {
                    tell.send(cx.clone()).unwrap();
                }
                Ok(())
            });
            scope.await.unwrap();
            assert_eq!(alive.count(), 0);
            for (admitted, outsider) in way.iter_mut().zip(outsiders) {
                *admitted = outsider.await.unwrap();
            }
            match way {
                [true, true] => "both".to_owned(),
                [true, false] => "first".to_owned(),
                [false, true] => "second".to_owned(),
                [false, false] => "none".to_owned(),
            }
        },
    );
}
