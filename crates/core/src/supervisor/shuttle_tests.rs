//! Whole supervisors under schedules of shuttle's making: run with `--cfg tidegate_shuttle`.
//!
//! A child crashes while two callers give orders and the supervisor is stopped. Whatever the
//! schedule, these hold: a child has one life at a time, and each is told of when it begins and
//! when it ends; every order is answered, or shuttle finds who waits for ever; and nothing is
//! alive, or comes to life, once the supervisor has ended.
//!
//! A supervisor is a resource, and a look at any scope goes through all of those, so that each
//! program is explored alone.

#![allow(
    clippy::unwrap_used,
    reason = "allowed in tests, of which clippy takes only functions with `#[test]`"
)]

use super::{ChildSpec, ControlError, Event, EventKind, Handle, Supervisor, SupervisorError};
use crate::{
    Backoff, Cx, rt,
    scope::shuttle_tests::{Alive, Error, patient, search_alone, sometime},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// What is written down of a program. It is no part of the schedule.
#[derive(Clone, Default)]
struct Book(Arc<Entries>);

#[derive(Default)]
struct Entries {
    alive: Alive,
    lives: AtomicUsize,
    /// Lives that began beside another one. A panic would be one more crash.
    twice: AtomicUsize,
    started: AtomicUsize,
    ended: AtomicUsize,
    stopped: AtomicUsize,
}

impl Book {
    fn started(&self) -> usize {
        self.0.started.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed) > 0
    }

    fn hear(&self, event: &Event) {
        match event.kind() {
            EventKind::Started => _ = self.0.started.fetch_add(1, Ordering::Relaxed),
            EventKind::Ended(_) => _ = self.0.ended.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// A child that crashes at some moment of its first lives, and serves in those after them.
    fn child(&self, crashes: usize) -> ChildSpec {
        let book = self.clone();
        ChildSpec::new("a", move |cx: Cx<Error>| {
            let entries = &book.0;
            let life = entries.lives.fetch_add(1, Ordering::Relaxed);
            entries.twice.fetch_add(entries.alive.count(), Ordering::Relaxed);
            let living = entries.alive.one();
            async move {
                let _living = living;
                if life < crashes {
                    sometime().await;
                    return Err("crash");
                }
                cx.stopping().await;
                Ok(())
            }
        })
    }

    /// Runs a supervisor with that child, which runs already when the script does, and checks
    /// what holds in any case.
    async fn run<T>(&self, crashes: usize, script: impl AsyncFnOnce(Handle, Stopper) -> T) -> T {
        let observing = self.clone();
        let (begun, has_begun) = oneshot::channel();
        let begun = Mutex::new(Some(begun));
        let supervisor = Supervisor::builder("sup")
            .backoff(Backoff::constant(Duration::ZERO))
            .intensity(100, Duration::from_secs(3600))
            .observer(move |event| {
                observing.hear(event);
                _ = begun.lock().unwrap().take().map(|begun| begun.send(()));
            })
            .child(self.child(crashes))
            .build()
            .unwrap();
        let handle = supervisor.handle();
        let app = patient("app").run(async |cx: Cx<SupervisorError>| {
            let (own, book) = (cx.clone(), self.clone());
            let running = cx.spawn("run", supervisor.run(&cx));
            has_begun.await.unwrap();
            let told = script(handle.clone(), Stopper { cx: own, book }).await;
            running.await.unwrap();
            Ok(told)
        });
        let told = app.await.unwrap();
        let entries = &self.0;
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        assert_eq!((entries.alive.count(), count(&entries.twice)), (0, 0));
        // One that was stopped before it ran has no life of its own to tell of.
        assert!(count(&entries.lives) <= self.started());
        assert_eq!(self.started(), count(&entries.ended));
        assert_eq!(handle.restart("a").await, Err(ControlError::NotRunning));
        assert!(!handle.is_running());
        told
    }
}

struct Stopper {
    cx: Cx<SupervisorError>,
    book: Book,
}

impl Stopper {
    fn stop(&self) {
        self.book.0.stopped.store(1, Ordering::Relaxed);
        self.cx.stop("the program ends");
    }
}

fn word(answer: &Result<(), ControlError>) -> &'static str {
    match answer {
        Ok(()) => "done",
        Err(ControlError::NotRunning) => "over",
        Err(ControlError::Unknown(_)) => "unknown",
        Err(ControlError::NotEnded(_)) => "not ended",
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn shuttle_a_child_that_was_terminated_is_not_started_again() {
    let ways = ["1 lives", "2 lives", "3 lives"];
    search_alone("a_child_that_was_terminated_is_not_started_again", &ways, || async {
        let book = Book::default();
        let lives = book.run(2, async |handle, stopper| {
            let (first, second) = (handle.clone(), handle.clone());
            let first = rt::spawn(async move { first.terminate("a").await });
            let second = rt::spawn(async move {
                assert_eq!(second.terminate("a").await, Ok(()));
                assert_eq!(second.delete("a").await, Ok(()), "it has ended for good");
            });
            assert!(["done", "unknown"].contains(&word(&first.await.unwrap())));
            second.await.unwrap();
            let lives = book.started();
            sometime().await;
            assert_eq!(handle.children(), []);
            stopper.stop();
            lives
        });
        let lives = lives.await;
        assert_eq!(book.started(), lives, "nothing has come back");
        format!("{lives} lives")
    });
}

#[test]
fn shuttle_a_restart_has_a_new_life_or_comes_too_late() {
    let ways = ["0 done", "1 done", "2 done"];
    search_alone("a_restart_has_a_new_life_or_comes_too_late", &ways, || async {
        let book = Book::default();
        let done = book.run(1, async |handle, stopper| {
            let orders = [0, 1].map(|_| {
                let (handle, book) = (handle.clone(), book.clone());
                rt::spawn(async move {
                    let before = book.started();
                    let answer = handle.restart("a").await;
                    match answer {
                        Ok(()) => assert!(book.started() > before, "it was started again"),
                        Err(ref error) => {
                            assert_eq!(*error, ControlError::NotRunning);
                            assert!(book.is_stopped(), "nothing else ends it");
                        }
                    }
                    usize::from(answer.is_ok())
                })
            });
            sometime().await;
            stopper.stop();
            let mut done = 0;
            for order in orders {
                done += order.await.unwrap();
            }
            done
        });
        format!("{} done", done.await)
    });
}

#[test]
fn shuttle_every_order_is_answered_while_the_supervisor_ends() {
    let ways = ["all too late", "some in time"];
    search_alone("every_order_is_answered_while_the_supervisor_ends", &ways, || async {
        let book = Book::default();
        let answers = book.run(1, async |handle, stopper| {
            let (one, other) = (handle.clone(), handle.clone());
            let restarting = rt::spawn(async move { one.restart("a").await });
            let ending = rt::spawn(async move {
                let terminated = other.terminate("a").await;
                (terminated, other.delete("a").await)
            });
            sometime().await;
            stopper.stop();
            let restarted = restarting.await.unwrap();
            let (terminated, deleted) = ending.await.unwrap();
            [restarted, terminated, deleted].map(|answer| word(&answer))
        });
        let is_late = answers.await == ["over"; 3];
        if is_late { "all too late" } else { "some in time" }.to_owned()
    });
}
