//! Who looks after what is given back of keys that had to go, and who is told.

use super::store::{Faulty, Trouble};
use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate_ratelimit::{
    Quota, Rate,
    fleet::{Answer, Ask, FleetLimiter, FleetPermit, MemoryStore, Store, StoreError, StoreQuota},
};
use tidegate_testkit::settle;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// No token comes back within a test.
const STILL: Quota = Quota::new(Rate::per_day(1), 10);

/// Of a lease of ten, with room for one key.
fn limiter<S: Store>(store: S) -> FleetLimiter<S> {
    FleetLimiter::builder(store, STILL).lease(10).max_keys(1).build().unwrap()
}

/// Nine tokens of `a` are on their way back, and nothing is in hand.
async fn returning(trouble: Trouble) -> FleetLimiter<Arc<Faulty>> {
    let limiter = limiter(Faulty::memory(trouble));
    limiter.try_acquire("a", 1).await.unwrap();
    limiter.try_acquire("b", 10).await.unwrap();
    limiter
}

/// How much is left of a key in the store.
async fn left(store: &Arc<Faulty>, key: &str) -> u64 {
    store.set(Trouble::Nothing);
    let limiter = FleetLimiter::builder(Arc::clone(store), STILL).build().unwrap();
    limiter.peek(key).await.remaining
}

#[tidegate_testkit::test]
async fn who_comes_by_takes_no_wake_up_from_who_waits() {
    let limiter = returning(Trouble::SlowOnRefunds(MS(20))).await;
    let mut tasks = JoinSet::new();
    let other = limiter.clone();
    tasks.spawn(async move {
        let start = Instant::now();
        other.give_back(Duration::ZERO).await;
        start.elapsed()
    });
    for _ in 0..3 {
        settle().await;
        let _ = limiter.stats();
        sleep(MS(13)).await;
    }
    settle().await;
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), MS(40));
    assert_eq!(left(limiter.store(), "a").await, 9);
}

#[tidegate_testkit::test]
async fn all_who_wait_are_told() {
    let limiter = returning(Trouble::SlowOnRefunds(MS(20))).await;
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let start = Instant::now();
            limiter.give_back(Duration::ZERO).await;
            start.elapsed()
        });
    }
    assert_eq!(tasks.join_all().await, [MS(40); 3]);
}

/// Who has waited before is not who waits now.
#[tidegate_testkit::test]
async fn what_nobody_has_waited_for_is_not_late_for_the_next_one() {
    let limiter = returning(Trouble::SlowOnRefunds(MS(20))).await;
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(limiter.give_back(Duration::ZERO)).poll(&mut cx).is_pending());
    sleep(MS(200)).await;
    limiter.give_back(Duration::ZERO).await;
    assert_eq!(limiter.stats().forfeited, 0);
    assert_eq!(left(limiter.store(), "a").await, 9);
}

/// The lease was asked for before the quota changed, and its key was gone by then.
#[tidegate_testkit::test]
async fn what_is_granted_under_another_quota_to_a_key_that_had_to_go_is_forfeited() {
    let limiter = limiter(Faulty::memory(Trouble::Slow(MS(5))));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(limiter.try_acquire("a", 1)).poll(&mut cx).is_pending());
    limiter.try_acquire("b", 10).await.unwrap();
    limiter.set_quota(Quota::new(Rate::per_day(2), 10)).unwrap();
    for _ in 0..4 {
        sleep(MS(10)).await;
        let _ = limiter.stats();
    }
    assert_eq!((limiter.stats().forfeited, left(limiter.store(), "a").await), (10, 0));
}

/// Nor is what is in hand of a key without room, which a change does not find.
#[tidegate_testkit::test]
async fn what_is_in_hand_of_a_key_without_room_is_forfeited_with_its_quota() {
    let limiter = limiter(Faulty::memory(Trouble::Nothing));
    let first = limiter.try_acquire("a", 10).await.unwrap();
    let permit = limiter.try_acquire("b", 10).await.unwrap();
    limiter.set_quota(Quota::new(Rate::per_day(2), 10)).unwrap();
    permit.refund();
    assert_eq!((limiter.stats().forfeited, left(limiter.store(), "b").await), (10, 0));
    drop(first);
}

/// It may be told by what is locked while the limiter is dropped.
#[tidegate_testkit::test]
async fn a_limiter_that_is_dropped_asks_for_no_quota() {
    let (store, asked) = (Faulty::memory(Trouble::Nothing), Arc::new(AtomicU64::new(0)));
    let counts = Arc::clone(&asked);
    let limiter = FleetLimiter::builder(Arc::clone(&store), STILL).lease(10).quota_for(move |_| {
        counts.fetch_add(1, SeqCst);
        STILL
    });
    let limiter = limiter.build().unwrap();
    limiter.try_acquire("a", 1).await.unwrap();
    let before = asked.load(SeqCst);
    drop(limiter);
    assert_eq!((asked.load(SeqCst), left(&store, "a").await), (before, 9));
}

#[tidegate_testkit::test]
async fn who_prints_a_limiter_looks_after_nothing() {
    let limiter = returning(Trouble::HangsOnRefunds).await;
    for _ in 0..3 {
        sleep(MS(200)).await;
        let text = format!("{limiter:?}");
        assert!(text.contains("forfeited: 0"), "{text}");
    }
}

struct Refunds<'a>(Option<FleetPermit<'a, Arc<Faulty>>>);

impl Drop for Refunds<'_> {
    fn drop(&mut self) {
        self.0.take().unwrap().refund();
    }
}

/// Nothing is asked of the store while somebody panics, but what is given up is counted.
#[tidegate_testkit::test]
async fn what_a_key_without_room_has_in_hand_of_who_panics_is_counted() {
    let limiter = limiter(Faulty::memory(Trouble::Nothing));
    let first = limiter.try_acquire("a", 1).await.unwrap();
    let permit = Refunds(Some(limiter.try_acquire("b", 3).await.unwrap()));
    let panics = move || {
        let _permit = permit;
        panic!("as it was told");
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    assert_eq!((limiter.stats().forfeited, left(limiter.store(), "b").await), (3, 7));
    drop(first);
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as it was told");
    }
}

/// What it is given back never ends, and is not dropped in peace.
struct Bombs(MemoryStore);

impl Store for Bombs {
    async fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> Result<Answer, StoreError> {
        if ask.refund > 0 {
            let _bomb = Bomb;
            pending::<()>().await;
        }
        self.0.exchange(key, quota, ask).await
    }
}

#[tidegate_testkit::test]
async fn what_is_not_dropped_in_peace_takes_nothing_with_it() {
    let limiter = limiter(Bombs(MemoryStore::new(100)));
    for key in ["a", "b", "c", "d"] {
        limiter.try_acquire(key, 7).await.unwrap();
    }
    limiter.try_acquire("last", 10).await.unwrap();
    for _ in 0..3 {
        sleep(MS(100)).await;
        let _ = limiter.stats();
    }
    assert_eq!((limiter.stats().forfeited, limiter.stats().errors), (12, 4));
    // And nobody waits for what is not there.
    let start = Instant::now();
    limiter.give_back(Duration::ZERO).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

type Waits = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes back tokens of `a` when it is told to, and tells as it is asked for those of `b` to.
#[derive(Default)]
struct Tells {
    store: Option<MemoryStore>,
    told: Notify,
    waits: Mutex<Option<Waits>>,
    taken: AtomicU64,
}

impl Store for Tells {
    async fn exchange(
        &self,
        key: &str,
        quota: &StoreQuota,
        ask: Ask,
    ) -> Result<Answer, StoreError> {
        if ask.refund > 0 && key.contains("{a}") {
            self.told.notified().await;
            self.taken.fetch_add(1, SeqCst);
        } else if ask.refund > 0 {
            poll_fn(|_| {
                let waits = self.waits.lock().unwrap().take();
                if let Some(mut waits) = waits {
                    self.told.notify_one();
                    // That somebody else looks it sees, and nothing is at an end yet.
                    assert!(
                        waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
                    );
                    *self.waits.lock().unwrap() = Some(waits);
                    self.taken.fetch_add(10, SeqCst);
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        }
        self.store.as_ref().unwrap().exchange(key, quota, ask).await
    }
}

/// It waits for what another one has in hand, who has found it not ready just before it was.
#[tidegate_testkit::test]
async fn what_is_ready_while_somebody_looks_is_not_overlooked() {
    let store = Arc::new(Tells { store: Some(MemoryStore::new(100)), ..Tells::default() });
    let limiter = limiter(Arc::clone(&store));
    limiter.try_acquire("a", 1).await.unwrap();
    limiter.try_acquire("b", 1).await.unwrap();
    limiter.try_acquire("c", 10).await.unwrap();
    let other = limiter.clone();
    let waits = async move { other.give_back(Duration::ZERO).await };
    *store.waits.lock().unwrap() = Some(Box::pin(waits));
    let _ = limiter.stats();
    assert_eq!(store.taken.load(SeqCst), 11);
    let mut waits = store.waits.lock().unwrap().take().unwrap();
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(limiter.stats().forfeited, 0);
}
