use super::{Refusals, record, share};
use crate::models::{Semaphore, SemaphoreOp, SemaphoreRet};
use crate::{Ctx, History, Stress, StressFailure, StressReport, check_linearizable};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A pool that lends out objects without waiting.
pub trait TryPool: Send + Sync {
    /// What is lent out; given back when it is dropped.
    type Object<'a>
    where
        Self: 'a;

    /// An object; none, if as many as there may be are lent out.
    fn try_checkout(&self) -> Option<Self::Object<'_>>;

    /// Which object it is: a number that no other one has that is alive.
    fn id(object: &Self::Object<'_>) -> u64;
}

struct Subject<P> {
    pool: P,
    size: usize,
    /// The objects that are lent out.
    lent: Mutex<BTreeSet<u64>>,
    history: History<SemaphoreOp, SemaphoreRet>,
}

/// Puts a pool of `size` objects through races of threads that take and give them back: none is lent
/// to two at once or lost, there are never more of them, and who is refused asks while all are lent
/// out, unless [refusals](Refusals) may be spurious.
///
/// ```
/// use std::sync::Mutex;
/// use tidegate_testkit::Stress;
/// use tidegate_testkit::conformance::{Refusals, TryPool, pool};
///
/// struct Locked(Mutex<Vec<u64>>);
///
/// struct Lent<'a>(u64, &'a Locked);
///
/// impl Drop for Lent<'_> {
///     fn drop(&mut self) {
///         self.1.0.lock().unwrap().push(self.0);
///     }
/// }
///
/// impl TryPool for Locked {
///     type Object<'a> = Lent<'a>;
///
///     fn try_checkout(&self) -> Option<Lent<'_>> {
///         Some(Lent(self.0.lock().unwrap().pop()?, self))
///     }
///
///     fn id(object: &Lent<'_>) -> u64 {
///         object.0
///     }
/// }
///
/// let make = || Locked(Mutex::new(vec![7, 8]));
/// # #[cfg(not(miri))]
/// pool(Stress::new("a locked pool"), 2, Refusals::Exact, make).unwrap();
/// ```
///
/// # Errors
///
/// As [`Stress::try_run`], with what was lost or lent twice, or the timeline of what has no order.
///
/// # Panics
///
/// As [`Stress::try_run`].
pub fn pool<P: TryPool>(
    stress: Stress,
    size: usize,
    refusals: Refusals,
    mut make: impl FnMut() -> P,
) -> Result<StressReport, StressFailure> {
    let model = Semaphore::new(size);
    let model = match refusals {
        Refusals::Exact => model,
        Refusals::Spurious => model.with_spurious_refusals(),
    };
    stress.try_run(
        |_rng| Subject { pool: make(), size, lent: Mutex::default(), history: History::new() },
        Subject::work,
        |subject, _threads| {
            subject.conserves()?;
            check_linearizable(&model, &subject.history).into_result()
        },
    )
}

impl<P: TryPool> Subject<P> {
    fn lent(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object is in use from here.
    fn use_it(&self, object: &P::Object<'_>) {
        let id = P::id(object);
        let mut lent = self.lent();
        let is_new = lent.insert(id);
        let number = lent.len();
        drop(lent);
        assert!(is_new, "object {id} is lent to two at once");
        assert!(number <= self.size, "{number} objects are lent out, of {} at most", self.size);
    }

    /// What a thread does: takes objects, and gives back the one that it has had for longest.
    fn work(&self, ctx: &mut Ctx) {
        let client = self.history.client(ctx.index());
        let mut held: Vec<P::Object<'_>> = Vec::new();
        let give_back = |object: P::Object<'_>| {
            self.lent().remove(&P::id(&object));
            record(&client, SemaphoreOp::Release(1), || drop(object), |()| SemaphoreRet::Released);
        };
        for _ in 0..share(ctx.threads(), ctx.rng()) {
            let is_release = !held.is_empty() && ctx.rng().one_in(2);
            ctx.point();
            if is_release {
                give_back(held.remove(0));
                continue;
            }
            let ret = |object: &Option<P::Object<'_>>| match object {
                Some(_) => SemaphoreRet::Acquired,
                None => SemaphoreRet::Refused,
            };
            let checkout = || self.pool.try_checkout();
            let object = record(&client, SemaphoreOp::TryAcquire(1), checkout, ret);
            if let Some(object) = object {
                self.use_it(&object);
                held.push(object);
            }
        }
        held.into_iter().for_each(give_back);
    }

    /// Nobody else takes objects any more, and all of them are there.
    fn conserves(&self) -> Result<(), String> {
        let held: Vec<_> = (0..=self.size).map_while(|_| self.pool.try_checkout()).collect();
        let (found, size) = (held.len(), self.size);
        let distinct: BTreeSet<u64> = held.iter().map(P::id).collect();
        drop(held);
        match found {
            _ if distinct.len() < found => Err("an object is in the pool twice".to_owned()),
            found if found == size => Ok(()),
            found if found < size => Err(format!("{found} of {size} objects are left")),
            _ => Err(format!("there are more than {size} objects")),
        }
    }
}
