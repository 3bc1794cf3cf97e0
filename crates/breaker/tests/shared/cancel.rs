//! Dropped at each await.

use crate::{
    SECOND, breaker, fleet, round, states,
    store::{Faulty, Trouble},
};
use std::{sync::Arc, time::Duration};
use tidegate_breaker::{State, fleet::Fleet};
use tidegate_testkit::cancel_everywhere;
use tokio::time::timeout;

/// Whatever was dropped, nothing counts twice, and the fleet opens when one does.
#[test]
fn cancel_run_at_every_await() {
    let slow = Trouble::Slow(Duration::from_millis(10));
    for trouble in [Trouble::Nothing, slow, Trouble::Fails, Trouble::Mute, Trouble::Hangs] {
        cancel_everywhere(
            || {
                let store = Faulty::memory();
                let breaker = breaker();
                let shared = Fleet::builder(Arc::clone(&store)).share(&breaker).unwrap();
                (store, breaker, tokio::sync::Mutex::new(shared.1))
            },
            async |(store, breaker, sync)| {
                let mut sync = sync.lock().await;
                sync.once().await.unwrap();
                for _ in 0..3 {
                    breaker.try_enter().unwrap().failure();
                }
                store.set(trouble);
                let _ = timeout(3 * SECOND, sync.run()).await;
            },
            async |(store, breaker, sync), point| {
                store.set(Trouble::Nothing);
                let mut sync = sync.lock().await;
                let failures = breaker.stats().tally.failures;
                let mut others = fleet(store);
                for _ in 0..2 {
                    sync.once().await.unwrap();
                    round(&mut others).await;
                }
                for other in &others {
                    assert_eq!(other.view.stats().others.failures, failures, "{point}");
                }
                for _ in failures..10 {
                    breaker.try_enter().unwrap().failure();
                }
                sync.once().await.unwrap();
                round(&mut others).await;
                assert_eq!(states(&others), [State::Open; 3], "{point}");
            },
        )
        .assert_covered(1);
    }
}
