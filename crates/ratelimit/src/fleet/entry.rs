//! One key: its account, and the work that is done for its line by whoever waits in it.

use super::{
    state::{Account, Tally},
    store::{Answer, StoreError},
    terms::Terms,
    trust::Trouble,
};
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tidegate_core::sync::{Mutex, lock};
use tokio::time::{Instant, Sleep, sleep};

/// An exchange with the store that belongs to the key, not to who has begun it.
pub(super) type Exchange = Pin<Box<dyn Future<Output = Result<Answer, StoreError>> + Send>>;

/// How often nobody may wait for an exchange for a while, at the store's charge after that.
const MOST_PAUSES: u8 = 8;

/// The time that a store has to answer, as long as somebody waits for it.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    within: Duration,
    /// Since when nobody polls it: what may be there already is taken before it can be late.
    parked_at: Option<Instant>,
    /// Pauses that may still be taken off, or callers who do not wait at all would have it never be late.
    pauses: u8,
}

impl Alarm {
    pub(super) fn new(within: Duration) -> Self {
        let (parked_at, pauses) = (None, MOST_PAUSES);
        Self { sleep: Box::pin(sleep(within)), within, parked_at, pauses }
    }

    fn park(&mut self) {
        self.parked_at.get_or_insert_with(Instant::now);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<StoreError> {
        if let (Some(parked_at), Some(left)) = (self.parked_at.take(), self.pauses.checked_sub(1)) {
            self.pauses = left;
            // Out of reach, it is left as it is: far enough.
            if let Some(deadline) = self.sleep.deadline().checked_add(parked_at.elapsed()) {
                self.sleep.as_mut().reset(deadline);
            }
        }
        self.sleep.as_mut().poll(cx).map(|()| StoreError::Timeout(self.within))
    }
}

/// A key, as one bell for those who wait: whatever is waited for wakes the first of them, and whoever is
/// polled first does the work. There is no task, and none of them has to be polled for others to go on.
pub(super) struct Entry<T> {
    pub(super) key: Arc<str>,
    /// The table has it; or else it ends with who asks.
    pub(super) is_kept: bool,
    pub(super) bell: Waker,
    pub(super) state: Mutex<State<T>>,
}

/// What is behind the lock of a key.
pub(super) struct State<T> {
    pub(super) account: Account<Waker>,
    /// What it keeps to, and which one it is of those of all keys.
    pub(super) terms: Arc<Terms>,
    pub(super) generation: u64,
    pub(super) work: Work<T>,
    /// Somebody polls the work now, without the lock.
    pub(super) is_driven: bool,
    /// Meanwhile somebody else wanted to.
    pub(super) again: bool,
    /// When it was asked last.
    pub(super) touched: u64,
    /// If the store has refused this key, and no other, until others are sure not to be worse off any more.
    pub(super) trouble: Option<Box<Trouble>>,
}

/// What the line waits for.
#[derive(Default)]
pub(super) enum Work<T> {
    #[default]
    Nothing,
    Sleeps {
        timer: Pin<Box<T>>,
        at: u64,
    },
    Exchanges {
        exchange: Exchange,
        alarm: Alarm,
        asked_at: u64,
        epoch: u64,
    },
}

impl<T: Send + 'static> Entry<T> {
    pub(super) fn new(
        key: Arc<str>,
        is_kept: bool,
        (terms, generation): (Arc<Terms>, u64),
        forgotten: u64,
        dice: u64,
    ) -> Arc<Self> {
        let account = Account::new(&terms.rules, forgotten, dice);
        let (work, is_driven, again) = (Work::Nothing, false, false);
        let (touched, trouble) = (0, None);
        let state = State { account, terms, generation, work, is_driven, again, touched, trouble };
        let state = Mutex::new(state);
        Arc::new_cyclic(|me: &Weak<Self>| {
            let bell = Waker::from(Arc::new(Bell(Weak::clone(me))));
            Self { key, is_kept, bell, state }
        })
    }
}

impl<T> Entry<T> {
    /// If nobody waits any more for what the store is asked, its time stands still.
    pub(super) fn park(&self) {
        let mut state = lock(&self.state);
        if let (0, Work::Exchanges { alarm, .. }) = (state.account.waiting(), &mut state.work) {
            alarm.park();
        }
    }

    /// Looks at the account, and changes it. Those who have been served are woken.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State<T>) -> R) -> (R, Tally) {
        let mut state = lock(&self.state);
        let result = act(&mut state);
        let (woken, tally) = (state.account.take_woken(), state.account.take_tally());
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        (result, tally)
    }

    /// Wakes who waits: what they wait for has changed.
    pub(super) fn ring(&self) {
        let mut state = lock(&self.state);
        state.again |= state.is_driven;
        let woken = state.account.take_first();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// What the entry waits for holds this, and the entry holds what it waits for.
struct Bell<T>(Weak<Entry<T>>);

impl<T: Send + 'static> Wake for Bell<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(entry) = self.0.upgrade() {
            entry.ring();
        }
    }
}

/// Lets others work if whoever does panics.
pub(super) struct Driving<'a, T>(pub(super) &'a Entry<T>);

impl<T> Drop for Driving<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = lock(&self.0.state);
            state.is_driven = false;
            state.account.failed();
            drop(state);
            self.0.ring();
        }
    }
}

impl<T> Work<T> {
    /// Polls what is waited for; ready with the answer, if it was the store's.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, StoreError>>>
    where
        T: crate::clock::Timer,
    {
        match self {
            Self::Nothing => Poll::Ready(None),
            Self::Sleeps { timer, at } => timer.as_mut().poll_until(*at, cx).map(|()| None),
            Self::Exchanges { exchange, alarm, .. } => {
                let poll = || exchange.as_mut().poll(cx);
                match catch_unwind(AssertUnwindSafe(poll)) {
                    Ok(Poll::Ready(answer)) => Poll::Ready(Some(answer)),
                    Ok(Poll::Pending) => alarm.poll(cx).map(|error| Some(Err(error))),
                    Err(_) => Poll::Ready(Some(Err(StoreError::Panicked))),
                }
            }
        }
    }
}

impl<T> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).finish_non_exhaustive()
    }
}
