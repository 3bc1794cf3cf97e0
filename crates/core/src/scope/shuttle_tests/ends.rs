//! Children and bodies that end at once.

use super::{
    Alive, Error, blow_up, caught, explore, hasty, patient, said, search_alone, sometime, unless,
};
use crate::{Cx, OnError, OnPanic, Scope, TaskError, rt};
use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::sync::oneshot;

#[test]
fn shuttle_of_two_errors_one_is_first_and_none_is_lost() {
    explore("of_two_errors_one_is_first_and_none_is_lost", &["a", "b"], || async {
        let (alive, mut kept) = (Alive::default(), None);
        let result = patient("scope")
            .run(async |cx: Cx<Error>| {
                kept = Some(cx.clone());
                for name in ["a", "b"] {
                    let living = alive.one();
                    // What it owns goes with the future, and not with its last poll.
                    cx.spawn(
                        name,
                        poll_fn(move |_| {
                            let _living = &living;
                            Poll::Ready(Err::<(), _>(name))
                        }),
                    );
                }
                let (living, waiting) = (alive.one(), cx.clone());
                cx.spawn("waits", async move {
                    let _living = living;
                    waiting.cancelled().await;
                    Ok(())
                });
                cx.cancelled().await;
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0);
        let said = said(&kept.unwrap(), result);
        assert_eq!(said.faults, ["a", "b"]);
        said.first
    });
}

#[test]
fn shuttle_an_error_a_panic_and_the_body_race() {
    explore("an_error_a_panic_and_the_body_race", &["body", "error", "panic"], || async {
        let (alive, mut kept) = (Alive::default(), None);
        let result = patient("scope")
            .run(async |cx: Cx<Error>| {
                kept = Some(cx.clone());
                let living = [alive.one(), alive.one()];
                let [error, panic] = living;
                cx.spawn("error", async move {
                    let _living = error;
                    Err::<(), _>("error")
                });
                cx.spawn::<(), _>("panic", async move {
                    let _living = panic;
                    blow_up("panic")
                });
                Err::<(), _>("body")
            })
            .await;
        assert_eq!(alive.count(), 0);
        let said = said(&kept.unwrap(), result);
        assert_eq!(said.faults, ["body", "error", "panic"]);
        said.first
    });
}

/// Where panics are raised the first thing to go wrong decides: a panic goes on in the caller, and
/// after an error it is in the report.
#[test]
fn shuttle_a_panic_is_raised_unless_an_error_was_first() {
    let ways = ["raised by a child", "raised by the body", "returned"];
    explore("a_panic_is_raised_unless_an_error_was_first", &ways, || async {
        let (alive, mut kept) = (Alive::default(), None);
        let raising = patient("scope").on_panic(OnPanic::Raise);
        let ended = caught(raising.run::<(), _, _, _>(async |cx: Cx<Error>| {
            kept = Some(cx.clone());
            let [fails, panics] = [alive.one(), alive.one()];
            cx.spawn("fails", async move {
                let _living = fails;
                Err::<(), _>("error")
            });
            cx.spawn::<(), _>("panics", async move {
                let _living = panics;
                blow_up("by a child")
            });
            // It is dropped, and aborts its child, while the panic unwinds.
            let mut nested = Box::pin(patient("nested").parent(&cx).run(async |cx: Cx<Error>| {
                let living = alive.one();
                cx.spawn("nested child", async move {
                    let _living = living;
                    pending::<Result<(), _>>().await
                });
                pending::<Result<(), Error>>().await
            }));
            let begun = poll_fn(|cx| Poll::Ready(nested.as_mut().poll(cx))).await;
            assert!(begun.is_pending());
            blow_up("by the body")
        }))
        .await;
        assert_eq!(alive.count(), 0);
        match ended {
            Err(payload) => format!("raised {}", payload.downcast_ref::<Error>().unwrap()),
            Ok(result) => {
                let said = said(&kept.unwrap(), result);
                assert_eq!((said.first.as_str(), said.faults.len()), ("error", 3));
                "returned".to_owned()
            }
        }
    });
}

#[test]
fn shuttle_a_spawn_from_outside_races_with_the_end() {
    explore("a_spawn_from_outside_races_with_the_end", &["admitted", "refused"], || async {
        let has_returned = Arc::new(AtomicBool::new(false));
        let returned = Arc::clone(&has_returned);
        let (give, got) = oneshot::channel::<Cx<Error>>();
        let outsider = rt::spawn(async move {
            let cx = got.await.unwrap();
            let late = cx.spawn("late", async move { Ok(returned.load(Ordering::Relaxed)) });
            late.await
        });
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            give.send(cx).unwrap();
            Ok(())
        });
        scope.await.unwrap();
        has_returned.store(true, Ordering::Relaxed);
        match outsider.await.unwrap() {
            Ok(was_late) => {
                assert!(!was_late, "it ran when the scope had returned");
                "admitted".to_owned()
            }
            Err(TaskError::Cancelled(_)) => "refused".to_owned(),
            Err(error) => panic!("{error}"),
        }
    });
}

/// A child that spawns at its very end holds the scope open.
#[test]
fn shuttle_children_that_spawn_children_are_all_waited_for() {
    let ways = ["0 here", "1 here", "2 here", "3 here", "4 here"];
    explore("children_that_spawn_children_are_all_waited_for", &ways, || async {
        let (alive, done) = (Alive::default(), Arc::<AtomicUsize>::default());
        let mut here = 0;
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            for _ in 0..2 {
                let (living, done, inner) =
                    ([alive.one(), alive.one()], Arc::clone(&done), cx.clone());
                cx.spawn("child", async move {
                    let [living, lives_on] = living;
                    let _living = living;
                    let last = Arc::clone(&done);
                    inner.spawn("grandchild", async move {
                        let _living = lives_on;
                        last.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    });
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                });
            }
            sometime().await;
            here = done.load(Ordering::Relaxed);
            Ok(())
        });
        scope.await.unwrap();
        assert_eq!((alive.count(), done.load(Ordering::Relaxed)), (0, 4));
        format!("{here} here")
    });
}

/// Where failures are collected each of them is kept or counted, and the last word is the body's.
#[test]
fn shuttle_collected_errors_are_kept_or_counted() {
    explore("collected_errors_are_kept_or_counted", &["a", "b", "c"], || async {
        let alive = Alive::default();
        let all = patient("scope").on_error(OnError::Collect { max: 2 });
        let result = all
            .run(async |cx: Cx<Error>| {
                for name in ["a", "b", "c"] {
                    let living = alive.one();
                    cx.spawn(name, async move {
                        let _living = living;
                        Err::<(), _>(name)
                    });
                }
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0);
        let error = result.unwrap_err();
        assert_eq!((error.reasons().count(), error.report().more()), (2, 1));
        error.error().unwrap().to_string()
    });
}

/// Counts how often a value is dropped.
struct Value(Arc<AtomicUsize>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the handle takes the value or lets go of it while the child ends: it is dropped once,
/// and never behind the scope's back.
#[test]
fn shuttle_a_value_is_taken_or_dropped_with_its_child() {
    explore("a_value_is_taken_or_dropped_with_its_child", &["left", "taken"], || async {
        let dropped = Arc::<AtomicUsize>::default();
        let mut way = "left";
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            let value = Value(Arc::clone(&dropped));
            let task = cx.spawn("child", async { Ok(value) });
            sometime().await;
            // One look, then the handle goes.
            if let Some(value) = unless(async {}, task).await {
                assert_eq!(dropped.load(Ordering::Relaxed), 0);
                drop(value.unwrap());
                way = "taken";
            }
            Ok(())
        });
        scope.await.unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        way.to_owned()
    });
}

/// Of several that succeed at once one is taken; the other values are dropped by then.
#[test]
fn shuttle_the_first_of_several_to_succeed() {
    explore("the_first_of_several_to_succeed", &["a", "b"], || async {
        let dropped = Arc::<AtomicUsize>::default();
        let (a, b) = (Value(Arc::clone(&dropped)), Value(Arc::clone(&dropped)));
        let attempts = [("a", Some(a)), ("b", Some(b)), ("c", None)].map(|(name, value)| {
            (name, async move { value.map(|value| (name, value)).ok_or("none") })
        });
        let first = patient("scope").first_ok::<_, Error, _, _>(attempts).await;
        let (name, value) = first.unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "the other has ended");
        drop(value);
        name.to_owned()
    });
}

#[test]
fn shuttle_a_child_says_that_it_is_up_or_fails_before() {
    explore("a_child_says_that_it_is_up_or_fails_before", &["not ready", "up"], || async {
        let mut kept = None;
        let mut way = "";
        let result = patient("scope")
            .run(async |cx: Cx<Error>| {
                kept = Some(cx.clone());
                cx.spawn("spoiler", async { Err::<(), _>("spoilt") });
                let server = cx.clone();
                let starting = cx.start("server", move |ready| async move {
                    if server.is_cancelled() {
                        return Err("not started");
                    }
                    ready.up(7).unwrap();
                    server.cancelled().await;
                    Ok(())
                });
                way = match starting.await {
                    Ok((port, task)) => {
                        assert_eq!(port, 7);
                        task.await.unwrap();
                        "up"
                    }
                    Err(not_ready) => {
                        let error = not_ready.into_task().await.unwrap_err();
                        assert!(matches!(error, TaskError::Failed(_)), "{error}");
                        "not ready"
                    }
                };
                Ok(())
            })
            .await;
        let said = said(&kept.unwrap(), result);
        let expected: &[&str] = if way == "up" { &["spoilt"] } else { &["not started", "spoilt"] };
        assert_eq!(
            (said.first.as_str(), said.faults),
            ("spoilt", expected.iter().map(ToString::to_string).collect())
        );
        way.to_owned()
    });
}

/// Blocking work has no await: it sees a cancellation when it looks.
#[test]
fn shuttle_blocking_work_and_a_cancellation() {
    explore("blocking_work_and_a_cancellation", &["cut short", "done", "unrun"], || async {
        let (alive, looks) = (Alive::default(), Arc::<AtomicUsize>::default());
        let seen = Arc::clone(&looks);
        let mut kept = None;
        let result = hasty("scope")
            .run(async |cx: Cx<Error>| {
                kept = Some(cx.clone());
                let (living, inner) = (alive.one(), cx.clone());
                let work = cx.spawn_blocking("work", move || {
                    let _living = living;
                    for look in 1..=3 {
                        seen.store(look, Ordering::Relaxed);
                        inner.check().map_err(|_| "cut short")?;
                    }
                    Ok(())
                });
                cx.spawn("canceller", async { Err::<(), _>("enough") });
                let _ = work.await;
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0, "blocking work is waited for in any case");
        let said = said(&kept.unwrap(), result);
        let is_cut = said.faults.iter().any(|fault| fault == "cut short");
        let is_unrun = said.aborted.iter().any(|name| name == "work");
        assert!(!said.faults.is_empty());
        match (is_cut, is_unrun, looks.load(Ordering::Relaxed)) {
            (true, false, 1..=3) => "cut short".to_owned(),
            (false, false, 3) => "done".to_owned(),
            (false, true, 0) => "unrun".to_owned(),
            odd => panic!("{odd:?} {said:?}"),
        }
    });
}

#[test]
fn shuttle_a_picture_taken_while_children_come_and_go() {
    let ways = ["0 seen", "1 seen", "2 seen"];
    search_alone("a_picture_taken_while_children_come_and_go", &ways, || async {
        let (tell, told) = oneshot::channel::<Cx<Error>>();
        let looker = rt::spawn(async move {
            let cx = told.await.unwrap();
            let picture = cx.tree().to_string();
            (picture.matches("child").count(), cx.stragglers().len())
        });
        let scope = Scope::builder("scope").timeout(Duration::MAX).run(async |cx: Cx<Error>| {
            tell.send(cx.clone()).unwrap();
            for _ in 0..2 {
                cx.spawn("child", async { Ok(()) });
            }
            Ok(())
        });
        scope.await.unwrap();
        let (seen, _) = looker.await.unwrap();
        format!("{seen} seen")
    });
}
