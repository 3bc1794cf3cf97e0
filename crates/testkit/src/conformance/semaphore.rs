use super::{record, share};
use crate::models::{Semaphore, SemaphoreOp, SemaphoreRet};
use crate::{Ctx, History, Stress, StressFailure, StressReport, check_linearizable};

/// A semaphore, a bulkhead or another thing that lends out permits, without waiting.
pub trait TrySemaphore: Send + Sync {
    /// What is lent out; given back when it is dropped.
    type Permit<'a>
    where
        Self: 'a;

    /// One permit; none, if all are lent out.
    fn try_acquire(&self) -> Option<Self::Permit<'_>>;
}

/// Whether a permit may be refused that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// Only who asks while all are lent out is refused.
    Exact,
    /// Others may be refused as well, as by a semaphore that gives up when it is contended.
    Spurious,
}

struct Subject<S> {
    semaphore: S,
    history: History<SemaphoreOp, SemaphoreRet>,
}

/// Puts a semaphore of `permits` permits through races of threads that take and give them back:
/// there are never more of them, none is lost, and the whole is linearizable.
///
/// ```
/// use tidegate_testkit::Stress;
/// use tidegate_testkit::conformance::{Refusals, TrySemaphore, semaphore};
/// use tokio::sync::{Semaphore, SemaphorePermit};
///
/// struct Tokio(Semaphore);
///
/// impl TrySemaphore for Tokio {
///     type Permit<'a> = SemaphorePermit<'a>;
///
///     fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
///         self.0.try_acquire().ok()
///     }
/// }
///
/// let make = || Tokio(Semaphore::new(2));
/// # #[cfg(not(miri))]
/// semaphore(Stress::new("tokio's semaphore"), 2, Refusals::Exact, make).unwrap();
/// ```
///
/// # Errors
///
/// As [`Stress::try_run`], with what was lost or the timeline of what has no order.
///
/// # Panics
///
/// As [`Stress::try_run`].
pub fn semaphore<S: TrySemaphore>(
    stress: Stress,
    permits: usize,
    refusals: Refusals,
    mut make: impl FnMut() -> S,
) -> Result<StressReport, StressFailure> {
    let model = Semaphore::new(permits);
    let model = match refusals {
        Refusals::Exact => model,
        Refusals::Spurious => model.with_spurious_refusals(),
    };
    stress.try_run(
        |_rng| Subject { semaphore: make(), history: History::new() },
        work,
        |subject, _threads| {
            conserves(&subject.semaphore, permits)?;
            check_linearizable(&model, &subject.history).into_result()
        },
    )
}

/// What a thread does: takes permits, and gives back the one that it has had for longest.
fn work<S: TrySemaphore>(subject: &Subject<S>, ctx: &mut Ctx) {
    let client = subject.history.client(ctx.index());
    let mut held = Vec::new();
    let release = |permit| {
        record(&client, SemaphoreOp::Release(1), || drop(permit), |()| SemaphoreRet::Released);
    };
    for _ in 0..share(ctx.threads(), ctx.rng()) {
        let is_release = !held.is_empty() && ctx.rng().one_in(2);
        ctx.point();
        if is_release {
            release(held.remove(0));
            continue;
        }
        let ret = |permit: &Option<S::Permit<'_>>| match permit {
            Some(_) => SemaphoreRet::Acquired,
            None => SemaphoreRet::Refused,
        };
        let acquire = || subject.semaphore.try_acquire();
        held.extend(record(&client, SemaphoreOp::TryAcquire(1), acquire, ret));
    }
    held.into_iter().for_each(release);
}

/// Nobody else takes permits any more, and all of them are there.
fn conserves<S: TrySemaphore>(semaphore: &S, permits: usize) -> Result<(), String> {
    let held: Vec<_> = (0..=permits).map_while(|_| semaphore.try_acquire()).collect();
    let found = held.len();
    drop(held);
    match found {
        found if found == permits => Ok(()),
        found if found < permits => Err(format!("{found} of {permits} permits are left")),
        _ => Err(format!("there are more than {permits} permits")),
    }
}
