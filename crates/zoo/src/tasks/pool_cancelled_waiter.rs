//! A connection that is handed to somebody who no longer waits.

use crate::{
    peers::{tokio_paused, tokio_test},
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate_testkit::cancel_everywhere;
use tokio::{sync::oneshot, time::timeout};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "pool-cancelled-waiter",
    kind: Kind::Async,
    source: Source::GitHub("djc/bb8", 67),
    about: "a connection is given to a waiter that was dropped, and is in no pool any more",
    tests: &[
        (Tool::Ours, ours),
        (Tool::TokioTest, |variant| tokio_test(scenario(variant))),
        (Tool::TokioPaused, |variant| tokio_paused(scenario(variant))),
    ],
};

struct Connection;

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    waiters: VecDeque<oneshot::Sender<Lease>>,
}

#[derive(Clone)]
struct Pool(Arc<Mutex<State>>, Variant);

/// Comes back when it is dropped.
struct Lease(Pool, Option<Connection>);

impl Pool {
    fn new(variant: Variant) -> Self {
        let state = State { idle: vec![Connection], ..State::default() };
        Self(Arc::new(Mutex::new(state)), variant)
    }

    async fn get(&self) -> Lease {
        let answer = {
            let mut state = self.0.lock().unwrap();
            if let Some(connection) = state.idle.pop() {
                return Lease(self.clone(), Some(connection));
            }
            let (waiter, answer) = oneshot::channel();
            state.waiters.push_back(waiter);
            answer
        };
        answer.await.unwrap()
    }

    fn put(&self, connection: Connection) {
        let waiter = self.0.lock().unwrap().waiters.pop_front();
        let Some(waiter) = waiter else {
            return self.0.lock().unwrap().idle.push(connection);
        };
        if let Err(mut refused) = waiter.send(Lease(self.clone(), Some(connection))) {
            if self.1.has_bug() {
                refused.1 = None;
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.1.take() {
            self.0.put(connection);
        }
    }
}

fn ours(variant: Variant) {
    let lent = || {
        let pool = Pool::new(variant);
        let connection = pool.0.lock().unwrap().idle.pop();
        let lease = Lease(pool.clone(), connection);
        (pool, RefCell::new(Some(lease)))
    };
    cancel_everywhere(
        lent,
        async |(pool, lease)| {
            tokio::join!(pool.get(), async {
                tokio::task::yield_now().await;
                drop(lease.take());
            });
        },
        async |(pool, lease), _| {
            drop(lease.take());
            pool.get().await;
        },
    )
    .assert_covered(2);
}

async fn scenario(variant: Variant) {
    let pool = Pool::new(variant);
    let lease = pool.get().await;
    assert!(timeout(Duration::from_millis(10), pool.get()).await.is_err());
    drop(lease);
    timeout(Duration::from_secs(1), pool.get()).await.expect("there is a connection");
}
