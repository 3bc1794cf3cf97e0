//! Building a [`Breaker`].

use super::{Breaker, Event, event::Observer, shared::Shared};
use crate::{
    ConfigError,
    clock::{Clock, TokioClock},
    state::{HalfOpen, Settings, Trip, Window},
};
use tidegate_core::{Backoff, Name};

/// Builds a [`Breaker`]: by [`Breaker::builder`].
#[derive(Clone, Debug)]
#[must_use = "a breaker is made by `build`"]
pub struct BreakerBuilder<C = TokioClock> {
    name: Name,
    settings: Settings,
    observer: Observer,
    clock: C,
}

impl BreakerBuilder {
    pub(super) fn new(name: Name) -> Self {
        let (settings, clock) = (Settings::new(), TokioClock::new());
        Self { name, settings, observer: Observer::default(), clock }
    }
}

impl<C: Clock> BreakerBuilder<C> {
    /// What results count; the last 100 by default.
    pub fn window(mut self, window: Window) -> Self {
        self.settings = self.settings.window(window);
        self
    }

    /// What opens it; half of the calls that fail, by default.
    pub fn trip(mut self, trip: Trip) -> Self {
        self.settings = self.settings.trip(trip);
        self
    }

    /// How many calls have to be in the window for their rates to count; 20 by default, or as many as fit.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.settings = self.settings.min_calls(calls);
        self
    }

    /// How it finds out whether it can close; by 3 probes by default.
    pub fn half_open(mut self, half_open: HalfOpen) -> Self {
        self.settings = self.settings.half_open(half_open);
        self
    }

    /// How long it stays open: a delay more each time that it opens again before it has closed. When there are
    /// no more delays the last one is used again. By default 10 s and twice that each time, up to 120 s, each
    /// with [equal jitter](tidegate_core::Jitter::Equal).
    pub fn open_wait(mut self, wait: Backoff) -> Self {
        self.settings = self.settings.open_wait(wait);
        self
    }

    /// All of these at once.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Has `observer` called with each [`Event`], without any lock held. It runs within the call that it is
    /// about, so it must be short; a panic of it goes no further.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// The clock it goes by; tokio's by default.
    pub fn clock<D: Clock>(self, clock: D) -> BreakerBuilder<D> {
        let Self { name, settings, observer, clock: _ } = self;
        BreakerBuilder { name, settings, observer, clock }
    }

    /// Builds it: closed.
    ///
    /// # Errors
    ///
    /// If the settings make no sense: see [`ConfigError`].
    #[track_caller]
    pub fn build(self) -> Result<Breaker<C>, ConfigError> {
        let Self { name, settings, observer, clock } = self;
        let shared = Shared::new(clock, &settings, name, observer)?;
        shared.register();
        Ok(Breaker { shared })
    }
}
