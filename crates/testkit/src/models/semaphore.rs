use crate::Model;

/// A number of permits that are lent out.
///
/// It is not fair: who comes first is not told by what is returned. An acquire that is cancelled
/// stays open, and may hold its permits for ever in the model. One that gives them back in that
/// case does as if it had not been; but it may have kept others from them for a moment, which is
/// why those [may be refused](Self::with_spurious_refusals).
#[derive(Clone, Debug)]
pub struct Semaphore {
    permits: usize,
    is_spurious: bool,
}

/// An operation of a [`Semaphore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SemaphoreOp {
    /// Takes so many permits, and waits for them: [`Acquired`](SemaphoreRet::Acquired).
    Acquire(usize),
    /// Takes so many permits if they are there: [`Acquired`](SemaphoreRet::Acquired), or
    /// [`Refused`](SemaphoreRet::Refused).
    TryAcquire(usize),
    /// Gives so many permits back: [`Released`](SemaphoreRet::Released).
    Release(usize),
}

/// What an operation of a [`Semaphore`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SemaphoreRet {
    /// The caller has the permits.
    Acquired,
    /// There were too few.
    Refused,
    /// The caller has them no longer.
    Released,
}

impl Semaphore {
    /// One with so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { permits, is_spurious: false }
    }

    /// One that may refuse permits that it has, as fair ones do while somebody waits.
    #[must_use]
    pub fn with_spurious_refusals(mut self) -> Self {
        self.is_spurious = true;
        self
    }
}

impl Model for Semaphore {
    type Op = SemaphoreOp;
    type Ret = SemaphoreRet;
    type State = usize;
    type Next = Option<usize>;
    type Key = ();

    fn partition(&self, _op: &SemaphoreOp) {}

    fn init(&self, (): &()) -> usize {
        self.permits
    }

    fn step(&self, free: &usize, op: &SemaphoreOp, ret: Option<&SemaphoreRet>) -> Option<usize> {
        match (op, ret) {
            (
                SemaphoreOp::Acquire(n) | SemaphoreOp::TryAcquire(n),
                None | Some(SemaphoreRet::Acquired),
            ) => free.checked_sub(*n),
            (SemaphoreOp::TryAcquire(n), Some(SemaphoreRet::Refused)) => {
                (self.is_spurious || free < n).then_some(*free)
            }
            // More than were lent out: somebody gives back what is not theirs.
            (SemaphoreOp::Release(n), None | Some(SemaphoreRet::Released)) => {
                free.checked_add(*n).filter(|free| *free <= self.permits)
            }
            (SemaphoreOp::Acquire(_), Some(SemaphoreRet::Refused | SemaphoreRet::Released))
            | (SemaphoreOp::TryAcquire(_), Some(SemaphoreRet::Released))
            | (SemaphoreOp::Release(_), Some(SemaphoreRet::Acquired | SemaphoreRet::Refused)) => {
                None
            }
        }
    }
}
