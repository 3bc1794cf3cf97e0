//! Building a [`Bulkhead`].

use super::{
    Bulkhead, Event,
    event::Observer,
    holders::Holders,
    resource,
    shared::{Face, Shared},
};
use crate::{
    CoDel, ConfigError, Limit, Order,
    clock::{Clock, nanos},
    state::{Codel, Count, Rules, adaptive::AnyLimit},
};
use std::{
    sync::{OnceLock, Weak},
    time::Duration,
};
use tidegate_core::{Name, inspect::Resource, sync::Arc};

/// How many may wait for a bulkhead, unless told otherwise.
pub const DEFAULT_MAX_WAITING: usize = 65_536;

/// How often a class is passed over by more urgent ones, unless told otherwise.
pub const DEFAULT_PATIENCE: u32 = 16;

/// Builds a [`Bulkhead`]: by [`Bulkhead::builder`].
#[derive(Clone, Debug)]
#[must_use = "a bulkhead is made by `build`"]
pub struct BulkheadBuilder {
    name: Name,
    capacity: u32,
    max_waiting: usize,
    max_wait: Option<Duration>,
    order: Order,
    codel: Option<CoDel>,
    patience: Option<u32>,
    typical_hold: Option<Duration>,
    tracks_holders: bool,
    limit: Option<AnyLimit>,
    wall_clock: Option<Duration>,
    observer: Observer,
}

impl BulkheadBuilder {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            name: "bulkhead".into(),
            capacity,
            max_waiting: DEFAULT_MAX_WAITING,
            max_wait: None,
            order: Order::default(),
            codel: None,
            patience: Some(DEFAULT_PATIENCE),
            typical_hold: None,
            tracks_holders: false,
            limit: None,
            wall_clock: None,
            observer: Observer::default(),
        }
    }

    /// The name that [inspection](tidegate_core::inspect) and events know it by; `bulkhead` by default.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How many may wait at a time; 65 536 by default, and none with 0. When as many do, somebody more
    /// urgent takes the place of the last of the least urgent.
    pub fn max_waiting(mut self, max: usize) -> Self {
        self.max_waiting = max;
        self
    }

    /// How long anybody may wait. No bound by default, but what each asks for.
    pub fn max_wait(mut self, max: Duration) -> Self {
        self.max_wait = Some(max);
        self
    }

    /// Who of a class goes next; [first come, first served](Order::Fifo) by default.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sheds some of those who wait while all of them do for too long.
    pub fn codel(mut self, codel: CoDel) -> Self {
        self.codel = Some(codel);
        self
    }

    /// How often the first of a class may see more urgent ones go first: then it goes next, whatever comes.
    /// 16 by default.
    pub fn patience(mut self, times: u32) -> Self {
        self.patience = Some(times);
        self
    }

    /// The most urgent always go first. Under a load of them that does not end, the others wait for ever.
    pub fn strict_priority(mut self) -> Self {
        self.patience = None;
        self
    }

    /// For how long a permit is held, about. Who does not enter is told to come back after the time that
    /// the permits which are missing take then, all of them being used: `hold * missing / capacity`.
    ///
    /// Without it, that is known only where somebody waits, by the time from one permit to the next coming
    /// back while somebody did, of which a moving average is kept. To measure how long each permit is held
    /// takes two looks at the clock, which is more than a permit costs.
    pub fn typical_hold(mut self, hold: Duration) -> Self {
        self.typical_hold = Some(hold);
        self
    }

    /// Keeps account of which work holds permits, and since when, for [inspection](tidegate_core::inspect):
    /// it finds who waits in a circle then. It takes two locks and two allocations for each permit.
    pub fn track_holders(mut self) -> Self {
        self.tracks_holders = true;
        self
    }

    /// Has `limit` find out how many there may be: [`Vegas`](crate::Vegas), [`Gradient2`](crate::Gradient2)
    /// or [`Aimd`](crate::Aimd). The capacity is what it begins with. For each key, if there are keys; that is
    /// forgotten with the key, and a key with a capacity that the limit cannot begin with keeps it.
    ///
    /// It goes by how long permits are held, and by what is [said](crate::Permit::success) of how that has
    /// ended; a layer says so by itself. That is two looks at the clock for each permit, and a lock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_bulkhead::{Bulkhead, Vegas};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let bulkhead = Bulkhead::builder(5).limit(Vegas::new().max(100));
    /// # let bulkhead = bulkhead.wall_clock(Duration::ZERO);
    /// let bulkhead = bulkhead.build().unwrap();
    /// for _ in 0..200 {
    ///     let permits = Vec::from_iter(std::iter::from_fn(|| bulkhead.try_acquire().ok()));
    ///     // A service that takes its time, however many there are.
    ///     tokio::time::sleep(Duration::from_millis(20)).await;
    ///     permits.into_iter().for_each(|permit| permit.success());
    /// }
    /// assert!(bulkhead.capacity() > 50);
    /// # }
    /// ```
    pub fn limit(mut self, limit: impl Limit + 'static) -> Self {
        self.limit = Some((Box::new(limit) as Box<dyn Limit>).into());
        self
    }

    /// How long after 1970 it is now, for limits: by default what the clock of the system says. Limits of many
    /// clients look at the time of a call at times which they agree on by that. For tests, whose runs are to be
    /// the same.
    pub fn wall_clock(mut self, since_1970: Duration) -> Self {
        self.wall_clock = Some(since_1970);
        self
    }

    /// Has `observer` called with each [`Event`], without any lock held. It runs within the call that it
    /// is about, so it must be short; a panic of it goes no further.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// Builds it: empty, with nobody waiting.
    ///
    /// # Errors
    ///
    /// If nothing would ever enter, or a number is out of its range: see [`ConfigError`].
    #[track_caller]
    pub fn build(self) -> Result<Bulkhead, ConfigError> {
        // Checked before anything is registered.
        let rules = self.rules()?;
        let me = Arc::new(OnceLock::<Weak<Shared>>::new());
        let holders = self.holders();
        let resource = resource(Arc::clone(&me), self.name.clone());
        let bulkhead = Bulkhead::of(self.face(rules, holders, resource), None);
        // It is the first to be put there.
        let _ = me.set(Arc::downgrade(&bulkhead.shared));
        Ok(bulkhead)
    }

    /// What it goes by, which stands for many bulkheads.
    pub(crate) fn face(
        self,
        rules: Rules,
        holders: Option<Holders>,
        resource: Resource,
    ) -> Arc<Face> {
        let Self { name, max_wait, limit, wall_clock, observer, .. } = self;
        Arc::new(Face {
            name,
            clock: Clock::new(wall_clock),
            resource,
            observer,
            max_wait,
            holders,
            limit,
            rules,
        })
    }

    pub(crate) fn name_of(&self) -> &Name {
        &self.name
    }

    pub(crate) fn holders(&self) -> Option<Holders> {
        self.tracks_holders.then(Holders::default)
    }

    pub(crate) fn rules(&self) -> Result<Rules, ConfigError> {
        let &Self { capacity, max_waiting, order, codel, patience, typical_hold, .. } = self;
        check_capacity(capacity)?;
        if let Some(limit) = &self.limit {
            limit.start(capacity)?;
        }
        if patience == Some(0) {
            return Err(ConfigError::ZeroPatience);
        }
        if codel.is_some_and(|codel| codel.interval.is_zero()) {
            return Err(ConfigError::ZeroInterval);
        }
        let codel = codel.map(|codel| Codel::new(nanos(codel.target), nanos(codel.interval)));
        let typical_hold = typical_hold.map(nanos);
        Ok(Rules { capacity, max_waiting, order, codel, patience, typical_hold })
    }
}

pub(crate) fn check_capacity(capacity: u32) -> Result<(), ConfigError> {
    match capacity {
        0 => Err(ConfigError::ZeroCapacity),
        1..=Count::MAX => Ok(()),
        _ => Err(ConfigError::CapacityTooLarge),
    }
}
