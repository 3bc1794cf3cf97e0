//! The suites of pools let right ones pass, and find what is wrong with others.

use crate::conformance::{hunt, message};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread::yield_now,
};
use tidegate_testkit::conformance::{Fairness, Refusals, TryPool, WaitPool, pool, wait_pool};
use tidegate_testkit::{ExploreReport, Seeds, Stress};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// What is wrong with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Looks, and takes, in two steps.
    TwoSteps,
    /// Forgets an object that comes back while another has the lock.
    Forgets,
    /// Makes another one if there is none.
    Grows,
    /// Takes an object back twice.
    Doubles,
    /// Has none for who comes while another has the lock.
    GivesUp,
}

struct Locked {
    free: Mutex<Vec<u64>>,
    made: AtomicU64,
    flaw: Flaw,
}

struct Lent<'a>(u64, &'a Locked);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Self(id, pool) = self;
        match pool.flaw {
            Flaw::Forgets => {
                if let Ok(mut free) = pool.free.try_lock() {
                    yield_now();
                    free.push(*id);
                }
            }
            Flaw::Doubles => pool.free.lock().unwrap().extend([*id, *id]),
            _ => pool.free.lock().unwrap().push(*id),
        }
    }
}

impl Locked {
    fn new(flaw: Flaw) -> Self {
        Self { free: Mutex::new(vec![0, 1]), made: AtomicU64::new(2), flaw }
    }
}

impl TryPool for Locked {
    type Object<'a> = Lent<'a>;

    fn try_checkout(&self) -> Option<Lent<'_>> {
        let id = match self.flaw {
            Flaw::TwoSteps => {
                let last = *self.free.lock().unwrap().last()?;
                yield_now();
                self.free.lock().unwrap().pop();
                last
            }
            Flaw::Grows => {
                let id = self.free.lock().unwrap().pop();
                id.unwrap_or_else(|| self.made.fetch_add(1, SeqCst))
            }
            Flaw::GivesUp => {
                let mut free = self.free.try_lock().ok()?;
                yield_now();
                free.pop()?
            }
            _ => self.free.lock().unwrap().pop()?,
        };
        Some(Lent(id, self))
    }

    fn id(object: &Lent<'_>) -> u64 {
        object.0
    }
}

#[test]
fn a_locked_pool_passes() {
    pool(Stress::new("pool"), 2, Refusals::Exact, || Locked::new(Flaw::None)).unwrap();
}

#[test]
fn pools_with_a_flaw_are_found() {
    let found = |flaw| message(pool(hunt("flaw"), 2, Refusals::Exact, || Locked::new(flaw)));
    for (flaw, words) in [
        // What is lent to two is lost for another, or comes back twice: which is seen first is chance.
        (Flaw::TwoSteps, &["is lent to two at once", "twice", "objects are left"][..]),
        (Flaw::Forgets, &["of 2 objects are left"]),
        (Flaw::Grows, &["objects are lent out, of 2 at most", "there are more than 2 objects"]),
        (
            Flaw::Doubles,
            &["twice", "is lent to two at once", "of 2 at most", "more than 2 objects"],
        ),
        (Flaw::GivesUp, &["-> Refused-"]),
    ] {
        let text = found(flaw);
        assert!(words.iter().any(|words| text.contains(words)), "{flaw:?}: {text}");
    }
    let spurious = || Locked::new(Flaw::GivesUp);
    pool(Stress::new("spurious"), 2, Refusals::Spurious, spurious).unwrap();
    let text = message(pool(hunt("size"), 3, Refusals::Exact, || Locked::new(Flaw::None)));
    assert!(text.contains("2 of 3 objects are left"), "{text}");
}

/// Permits of tokio, which are fair, and objects.
struct Fair {
    free: RefCell<Vec<u64>>,
    permits: Semaphore,
    /// Whether it leaves the objects in.
    peeks: bool,
}

struct FairLent<'a> {
    id: u64,
    pool: &'a Fair,
    _permit: SemaphorePermit<'a>,
}

impl Drop for FairLent<'_> {
    fn drop(&mut self) {
        if !self.pool.peeks {
            self.pool.free.borrow_mut().push(self.id);
        }
    }
}

impl WaitPool for Fair {
    type Object<'a> = FairLent<'a>;

    async fn checkout(&self) -> FairLent<'_> {
        let permit = self.permits.acquire().await.unwrap();
        let id = if self.peeks {
            *self.free.borrow().first().unwrap()
        } else {
            self.free.borrow_mut().pop().unwrap()
        };
        FairLent { id, pool: self, _permit: permit }
    }

    fn id(object: &FairLent<'_>) -> u64 {
        object.id
    }
}

fn fair(permits: usize, peeks: bool) -> Fair {
    Fair { free: RefCell::new(vec![0, 1, 2]), permits: Semaphore::new(permits), peeks }
}

#[track_caller]
fn fails_with(report: &ExploreReport, words: &str) {
    let text = report.failure().unwrap_or_else(|| panic!("nothing was found: {report}"));
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_fair_pool_passes() {
    wait_pool(Seeds::n(300), 2, Fairness::Fifo, || fair(2, false)).assert_passed();
}

#[test]
fn a_pool_of_another_size_is_found() {
    let larger = wait_pool(Seeds::n(300), 2, Fairness::Fifo, || fair(3, false));
    fails_with(&larger, "more than 2 objects are lent out");
    let smaller = wait_pool(Seeds::n(300), 2, Fairness::Fifo, || fair(1, false));
    fails_with(&smaller, "nobody of them is woken");
}

#[test]
fn an_object_that_is_lent_to_two_is_found() {
    let twice = wait_pool(Seeds::n(300), 2, Fairness::Fifo, || fair(2, true));
    fails_with(&twice, "object 0 is lent to two at once");
}

/// Hands an object to who has waited for longest, who may have given up.
#[derive(Default)]
struct Hands {
    free: RefCell<Vec<u64>>,
    waiting: RefCell<VecDeque<oneshot::Sender<u64>>>,
}

struct HandedOn<'a>(u64, &'a Hands);

impl Drop for HandedOn<'_> {
    fn drop(&mut self) {
        let mut id = self.0;
        while let Some(next) = self.1.waiting.borrow_mut().pop_front() {
            match next.send(id) {
                Ok(()) => return,
                Err(back) => id = back,
            }
        }
        self.1.free.borrow_mut().push(id);
    }
}

impl WaitPool for Hands {
    type Object<'a> = HandedOn<'a>;

    async fn checkout(&self) -> HandedOn<'_> {
        let free = self.free.borrow_mut().pop();
        let id = if let Some(id) = free {
            id
        } else {
            let (send, receive) = oneshot::channel();
            self.waiting.borrow_mut().push_back(send);
            receive.await.unwrap()
        };
        HandedOn(id, self)
    }

    fn id(object: &HandedOn<'_>) -> u64 {
        object.0
    }
}

/// It is lost with who was woken, and gave up before it had seen it.
#[test]
fn an_object_that_is_handed_to_who_gives_up_is_found() {
    let make = || Hands { free: RefCell::new(vec![0, 1]), ..Hands::default() };
    let lost = wait_pool(Seeds::n(300), 2, Fairness::Any, make);
    let text = lost.failure().unwrap();
    assert!(
        text.contains("nobody of them is woken") || text.contains("of 2 objects are left"),
        "{text}"
    );
}

/// Wakes one who waits, or all of them, when an object is back.
struct Wakes {
    free: RefCell<Vec<u64>>,
    waiting: RefCell<VecDeque<Waker>>,
    all: bool,
}

struct Woken<'a>(u64, &'a Wakes);

impl Drop for Woken<'_> {
    fn drop(&mut self) {
        let Self(id, pool) = self;
        pool.free.borrow_mut().push(*id);
        let mut waiting = pool.waiting.borrow_mut();
        let number = if pool.all { waiting.len() } else { waiting.len().min(1) };
        waiting.drain(..number).for_each(Waker::wake);
    }
}

impl WaitPool for Wakes {
    type Object<'a> = Woken<'a>;

    async fn checkout(&self) -> Woken<'_> {
        let id = poll_fn(|cx| {
            if let Some(id) = self.free.borrow_mut().pop() {
                return Poll::Ready(id);
            }
            self.waiting.borrow_mut().push_back(cx.waker().clone());
            Poll::Pending
        });
        Woken(id.await, self)
    }

    fn id(object: &Woken<'_>) -> u64 {
        object.0
    }
}

fn wakes(all: bool) -> Wakes {
    let free = RefCell::new(vec![0, 1]);
    Wakes { free, waiting: RefCell::default(), all }
}

#[test]
fn a_wakeup_that_is_lost_with_who_gives_up_is_found() {
    fails_with(
        &wait_pool(Seeds::n(300), 2, Fairness::Any, || wakes(false)),
        "nobody of them is woken",
    );
}

/// Nothing is wrong with it, but that anybody may be first.
#[test]
fn a_pool_that_wakes_all_is_not_fair() {
    wait_pool(Seeds::n(300), 2, Fairness::Any, || wakes(true)).assert_passed();
    let unfair = wait_pool(Seeds::n(300), 2, Fairness::Fifo, || wakes(true));
    fails_with(&unfair, "somebody was served");
}
