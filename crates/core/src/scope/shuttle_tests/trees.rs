//! Random trees of scopes: shuttle draws the tree as well as the schedule.

use super::{Alive, Error, Living, Said, blow_up, explore, said, sometime, unless};
use crate::{Cx, Scope, TaskError, rt};
use shuttle::rand::{Rng, thread_rng};
use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What happens in a tree, and what its scopes say of it.
#[derive(Default)]
struct Tally {
    faults: AtomicUsize,
    faults_told: AtomicUsize,
    begun: AtomicUsize,
    ended: AtomicUsize,
    refused: AtomicUsize,
    aborted_told: AtomicUsize,
}

fn add(counter: &AtomicUsize, count: usize) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn get(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

/// Every error of a tree is told, every piece of work ends or is named as aborted, and no scope
/// returns before what is in it.
#[test]
fn shuttle_random_trees_lose_nothing() {
    let ways = ["aborted", "adopted", "failed", "fine"];
    explore("random_trees_lose_nothing", &ways, || async {
        let tally = Arc::<Tally>::default();
        // Not every tree has two branches, and the scheduler wants something to interrupt.
        let idle = rt::spawn(async {});
        sometime().await;
        idle.await.unwrap();
        let said = tree(None, Arc::clone(&tally), 2).await;
        assert_eq!(get(&tally.faults_told), get(&tally.faults), "{said:?}");
        let by_itself = get(&tally.ended) + get(&tally.refused);
        assert_eq!(by_itself + get(&tally.aborted_told), get(&tally.begun), "{said:?}");
        let way = match said {
            None => "fine",
            Some(said) if !said.adopted.is_empty() => "adopted",
            Some(said) if !said.aborted.is_empty() => "aborted",
            Some(_) => "failed",
        };
        way.to_owned()
    });
}

type Tree = Pin<Box<dyn Future<Output = Option<Said>> + Send>>;

/// Runs a random scope, and enters what it says.
fn tree(parent: Option<Cx<Error>>, tally: Arc<Tally>, depth: usize) -> Tree {
    Box::pin(async move {
        let (alive, mut kept) = (Alive::default(), None);
        let is_patient = thread_rng().gen_bool(0.5);
        let grace = if is_patient { Duration::MAX } else { Duration::from_secs(1) };
        let scope = Scope::builder("scope").grace(grace);
        let body = async |cx: Cx<Error>| {
            kept = Some(cx.clone());
            let place =
                Place { cx, alive: alive.clone(), tally: Arc::clone(&tally), depth, is_patient };
            place.body().await
        };
        let result = match &parent {
            Some(parent) => scope.parent(parent).run(body).await,
            None => scope.run(body).await,
        };
        assert_eq!(alive.count(), 0);
        // Without a body the scope above admitted nothing more.
        let said = said(&kept?, Err::<(), _>(result.err()?));
        let aborted = said.aborted.iter().chain(&said.adopted_aborted);
        // Bodies go by the name of their scope.
        add(&tally.aborted_told, aborted.filter(|name| *name == "work").count());
        add(&tally.faults_told, said.faults.len() + said.adopted.len());
        Some(said)
    })
}

/// A scope that work is to be spawned in.
#[derive(Clone)]
struct Place {
    cx: Cx<Error>,
    alive: Alive,
    tally: Arc<Tally>,
    depth: usize,
    is_patient: bool,
}

impl Place {
    async fn body(self) -> Result<(), Error> {
        for _ in 0..thread_rng().gen_range(0..3) {
            self.spawn().await;
        }
        if self.depth > 0 && thread_rng().gen_bool(0.3) {
            self.nest().await;
        }
        if thread_rng().gen_bool(0.3) {
            return self.fail("body");
        }
        if thread_rng().gen_bool(0.8) {
            // Some of the work may wait for it.
            sometime().await;
        }
        self.cx.cancel("the body has ended");
        Ok(())
    }

    fn fail(&self, error: Error) -> Result<(), Error> {
        add(&self.tally.faults, 1);
        Err(error)
    }

    async fn nest(&self) {
        tree(Some(self.cx.clone()), Arc::clone(&self.tally), self.depth - 1).await;
    }

    async fn spawn(&self) {
        add(&self.tally.begun, 1);
        let (place, living) = (self.clone(), self.alive.one());
        let task = if thread_rng().gen_bool(0.2) {
            self.cx.spawn_blocking("work", move || place.block(living))
        } else {
            self.cx.spawn("work", place.work(living))
        };
        if let Some(Err(TaskError::Cancelled(_))) = unless(async {}, task).await {
            add(&self.tally.refused, 1);
        }
    }

    fn block(&self, _living: Living) -> Result<(), Error> {
        for _ in 0..3 {
            if self.cx.is_cancelled() {
                break;
            }
        }
        add(&self.tally.ended, 1);
        if thread_rng().gen_bool(0.2) { self.fail("blocking") } else { Ok(()) }
    }

    fn work(self, living: Living) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(async move {
            let _living = living;
            if thread_rng().gen_bool(0.5) {
                sometime().await;
            }
            let result = match thread_rng().gen_range(0..8) {
                0 => self.fail("error"),
                1 => {
                    add(&self.tally.faults, 1);
                    add(&self.tally.ended, 1);
                    blow_up("panic")
                }
                2 if !self.is_patient => pending().await,
                2 | 3 => {
                    self.cx.cancelled().await;
                    Ok(())
                }
                4 => {
                    self.spawn().await;
                    Ok(())
                }
                5 | 6 if self.depth > 0 => {
                    self.nest().await;
                    Ok(())
                }
                _ => Ok(()),
            };
            add(&self.tally.ended, 1);
            result
        })
    }
}
