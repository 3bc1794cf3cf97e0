use crate::{ExploreReport, Rng, Seed, Seeds, explore, settle};
use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::task::unconstrained;

/// A pool that lends out objects, and lets wait who comes while there is none.
pub trait WaitPool {
    /// What is lent out; given back when it is dropped.
    type Object<'a>
    where
        Self: 'a;

    /// Waits for an object.
    ///
    /// # Cancel safety
    ///
    /// What the suite is about: dropped at whatever moment, it must not take an object with it.
    /// Tested by `an_object_that_is_handed_to_who_gives_up_is_found`.
    fn checkout(&self) -> impl Future<Output = Self::Object<'_>>;

    /// Which object it is: a number that no other one has that is alive.
    fn id(object: &Self::Object<'_>) -> u64;
}

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fairness {
    /// Who has waited for longest.
    Fifo,
    /// Anybody.
    Any,
}

/// How much happens with one seed.
const STEPS: usize = 80;

/// More waiters than that are of no use.
const WAITERS: usize = 6;

/// Puts a pool of `size` objects through waiters that come, are served, and give up at whatever moment,
/// also when they have been woken and have not seen it yet: no object is lent to two or lost,
/// there are never more of them, and whenever one is free, somebody who waits has it. Each seed is
/// another course of events.
///
/// ```
/// use std::sync::Mutex;
/// use tidegate_testkit::Seeds;
/// use tidegate_testkit::conformance::{Fairness, WaitPool, wait_pool};
/// use tokio::sync::{Semaphore, SemaphorePermit};
///
/// struct Pool {
///     free: Mutex<Vec<u64>>,
///     permits: Semaphore,
/// }
///
/// // The object is given back before the permit: fields are dropped in their order.
/// struct Lent<'a>(Back<'a>, #[expect(dead_code)] SemaphorePermit<'a>);
///
/// struct Back<'a>(u64, &'a Pool);
///
/// impl Drop for Back<'_> {
///     fn drop(&mut self) {
///         self.1.free.lock().unwrap().push(self.0);
///     }
/// }
///
/// impl WaitPool for Pool {
///     type Object<'a> = Lent<'a>;
///
///     async fn checkout(&self) -> Lent<'_> {
///         let permit = self.permits.acquire().await.unwrap();
///         let object = self.free.lock().unwrap().pop().unwrap();
///         Lent(Back(object, self), permit)
///     }
///
///     fn id(object: &Lent<'_>) -> u64 {
///         object.0.0
///     }
/// }
///
/// let make = || Pool { free: Mutex::new(vec![7, 8]), permits: Semaphore::new(2) };
/// # #[cfg(not(miri))]
/// wait_pool(Seeds::n(64), 2, Fairness::Fifo, make).assert_passed();
/// ```
pub fn wait_pool<P: WaitPool>(
    seeds: Seeds,
    size: usize,
    fairness: Fairness,
    make: impl Fn() -> P,
) -> ExploreReport {
    explore(seeds, |seed| {
        let pool = make();
        async move { Course::new(&pool, size, fairness, seed).run().await }
    })
}

/// What goes on with one pool.
struct Course<'a, P: WaitPool> {
    pool: &'a P,
    size: usize,
    fairness: Fairness,
    rng: Rng,
    held: Vec<P::Object<'a>>,
    /// In the order in which they have come.
    waiting: Vec<Waiting<'a, P>>,
    came: usize,
    /// The last of those that have come and were served since all was quiet.
    last_served: Option<usize>,
    /// Whether nobody is woken that has not been polled.
    is_quiet: bool,
}

struct Waiting<'a, P: WaitPool + 'a> {
    number: usize,
    checkout: Pin<Box<dyn Future<Output = P::Object<'a>> + 'a>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl<'a, P: WaitPool> Course<'a, P> {
    fn new(pool: &'a P, size: usize, fairness: Fairness, seed: Seed) -> Self {
        Self {
            pool,
            size,
            fairness,
            rng: seed.rng(),
            held: Vec::new(),
            waiting: Vec::new(),
            came: 0,
            last_served: None,
            is_quiet: true,
        }
    }

    async fn run(mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            match self.rng.below(5) {
                0 | 1 if self.waiting.len() < WAITERS => self.come()?,
                2 if !self.waiting.is_empty() => {
                    let index = pick(&mut self.rng, self.waiting.len());
                    drop(self.waiting.remove(index));
                    self.is_quiet = false;
                }
                3 if !self.held.is_empty() => {
                    let index = pick(&mut self.rng, self.held.len());
                    drop(self.held.swap_remove(index));
                    self.is_quiet = false;
                }
                4 => self.calm_down().await?,
                _ => {}
            }
        }
        // Some give up right after an object has come back.
        drop(self.held.pop());
        self.waiting.clear();
        self.held.clear();
        for _ in 0..=self.size {
            self.come()?;
        }
        self.calm_down().await?;
        match (self.held.len(), self.waiting.len()) {
            (held, 1) if held == self.size => Ok(()),
            (held, _) => Err(format!("{held} of {} objects are left", self.size)),
        }
    }

    /// Somebody comes, and waits if there is nothing.
    fn come(&mut self) -> Result<(), String> {
        // Who has no budget left would lose its place.
        let checkout: Pin<Box<dyn Future<Output = P::Object<'a>> + 'a>> =
            Box::pin(unconstrained(self.pool.checkout()));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.waiting.push(Waiting { number: self.came, checkout, woken });
        self.came += 1;
        let passes = self.waiting.len() > 1 && self.is_quiet;
        let is_served = self.poll(self.waiting.len() - 1)?;
        if is_served && passes && self.fairness == Fairness::Fifo {
            return Err("somebody was served at once while others waited".to_owned());
        }
        Ok(())
    }

    /// Polls whoever is woken until nobody is.
    async fn calm_down(&mut self) -> Result<(), String> {
        loop {
            // What the pool has spawned goes on, and there is a new budget for polls.
            settle().await;
            let is_woken = |waiting: &Waiting<'_, P>| waiting.woken.0.load(SeqCst);
            let woken: Vec<_> =
                (0..self.waiting.len()).filter(|index| is_woken(&self.waiting[*index])).collect();
            if woken.is_empty() {
                break;
            }
            let index = woken[pick(&mut self.rng, woken.len())];
            self.poll(index)?;
        }
        self.is_quiet = true;
        let last_served = self.last_served.take();
        if self.held.len() < self.size && !self.waiting.is_empty() {
            return Err(format!(
                "{} of {} objects are lent out, {} wait, and nobody of them is woken",
                self.held.len(),
                self.size,
                self.waiting.len()
            ));
        }
        let oldest = self.waiting.first().map(|waiting| waiting.number);
        let is_overtaken = oldest.zip(last_served).is_some_and(|(oldest, served)| served > oldest);
        if is_overtaken && self.fairness == Fairness::Fifo {
            return Err("somebody was served before one who had waited for longer".to_owned());
        }
        Ok(())
    }

    /// Polls one who waits; true, if it is served.
    fn poll(&mut self, index: usize) -> Result<bool, String> {
        let waiting = &mut self.waiting[index];
        waiting.woken.0.store(false, SeqCst);
        let waker = Waker::from(Arc::clone(&waiting.woken));
        let Poll::Ready(object) = waiting.checkout.as_mut().poll(&mut Context::from_waker(&waker))
        else {
            return Ok(false);
        };
        let number = self.waiting.remove(index).number;
        self.last_served = self.last_served.max(Some(number));
        let id = P::id(&object);
        self.held.push(object);
        let distinct: BTreeSet<u64> = self.held.iter().map(P::id).collect();
        if distinct.len() < self.held.len() {
            return Err(format!("object {id} is lent to two at once"));
        }
        if self.held.len() > self.size {
            return Err(format!("more than {} objects are lent out", self.size));
        }
        Ok(true)
    }
}

fn pick(rng: &mut Rng, among: usize) -> usize {
    usize::try_from(rng.below(among as u64)).unwrap_or(0)
}
