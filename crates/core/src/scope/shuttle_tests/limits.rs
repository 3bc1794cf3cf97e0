//! Scopes in which so many children run at once, and futures that run at once in one task.
//!
//! A limit is a resource, and a look at any scope goes through all of those.

use super::{Alive, Error, explore, hasty, patient, search_alone, sometime, unless};
use crate::{ConcurrentError, Cx, TrySpawnError};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// However children come, end and give up their turn, no more than the limit run at once, and
/// each of them has its turn.
#[test]
fn shuttle_never_more_children_than_the_limit() {
    let ways = ["full", "full after a turn", "room", "room after a turn"];
    search_alone("never_more_children_than_the_limit", &ways, || async {
        let (running, ran) = (Alive::default(), Arc::<AtomicUsize>::default());
        let (mut had_turn, mut had_room) = (false, false);
        let scope = patient("scope").limit(2).run(async |cx: Cx<Error>| {
            let child = || {
                let (running, ran) = (running.clone(), Arc::clone(&ran));
                async move {
                    let _running = running.one();
                    assert!(running.count() <= 2);
                    sometime().await;
                    assert!(running.count() <= 2);
                    ran.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                }
            };
            cx.spawn("first", child());
            cx.spawn("second", child());
            // It may give up its turn when that has just come.
            let patience = cx.spawn_in_turn("impatient", child());
            had_turn = unless(sometime(), patience).await.is_some();
            had_room = match cx.try_spawn("third", child()) {
                Ok(_) => true,
                Err(TrySpawnError::Full(_)) => false,
                Err(error) => panic!("{error}"),
            };
            cx.spawn("last", child());
            Ok(())
        });
        scope.await.unwrap();
        assert_eq!(running.count(), 0);
        let expected = 3 + usize::from(had_turn) + usize::from(had_room);
        assert_eq!(ran.load(Ordering::Relaxed), expected);
        let room = if had_room { "room" } else { "full" };
        if had_turn { format!("{room} after a turn") } else { room.to_owned() }
    });
}

/// A cancellation sends away who waits for a slot, also while one is being handed over.
#[test]
fn shuttle_a_cancellation_sends_away_who_waits_for_a_slot() {
    let ways = ["aborted", "admitted", "sent away"];
    search_alone("a_cancellation_sends_away_who_waits_for_a_slot", &ways, || async {
        let alive = Alive::default();
        let mut way = "aborted";
        let result = hasty("scope")
            .limit(1)
            .run(async |cx: Cx<Error>| {
                let living = alive.one();
                cx.spawn("holder", async move {
                    let _living = living;
                    sometime().await;
                    Err::<(), _>("holder")
                });
                let (living, waiting) = (alive.one(), cx.clone());
                cx.spawn("queued", async move {
                    let _living = living;
                    waiting.cancelled().await;
                    Ok(())
                });
                let living = alive.one();
                let turn = cx.spawn_in_turn("in turn", async move {
                    let _living = living;
                    pending::<Result<(), _>>().await
                });
                way = if turn.await.is_ok() { "admitted" } else { "sent away" };
                Ok(())
            })
            .await;
        assert_eq!(alive.count(), 0);
        assert_eq!(result.unwrap_err().error(), Some(&"holder"));
        way.to_owned()
    });
}

/// Each future is polled when it was woken, by whichever task, and all of their values are there.
#[test]
fn shuttle_futures_within_one_task_are_woken_each() {
    let ways = ["cancelled", "done", "failed"];
    explore("futures_within_one_task_are_woken_each", &ways, || async {
        let alive = Alive::default();
        let mut way = "";
        let scope = patient("scope").run(async |cx: Cx<Error>| {
            let (canceller, failing) = (cx.clone(), cx.clone());
            cx.spawn("canceller", async move {
                sometime().await;
                Ok(canceller.cancel("enough"))
            });
            let futures = [1, 2, 3].map(|number| {
                let (living, failing) = (alive.one(), failing.clone());
                async move {
                    let _living = living;
                    sometime().await;
                    if number == 2 && failing.is_cancelled() {
                        return Err("failed");
                    }
                    Ok(number)
                }
            });
            way = match cx.concurrent(futures).await {
                Ok(numbers) => {
                    assert_eq!(numbers, [1, 2, 3]);
                    "done"
                }
                Err(ConcurrentError::Failed(error)) => error,
                Err(ConcurrentError::Cancelled(_)) => "cancelled",
            };
            assert_eq!(alive.count(), 0);
            Ok(())
        });
        scope.await.unwrap();
        way.to_owned()
    });
}
