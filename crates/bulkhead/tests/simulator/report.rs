//! What has come of a run.

use super::{
    scenarios::{SECOND, Scenario},
    world::TICK,
};

/// What has happened in a tick.
#[derive(Clone, Default)]
pub(super) struct Tick {
    pub(super) good: u64,
    pub(super) rejected: u64,
    /// Nanoseconds, of those that were let in.
    pub(super) latencies: Vec<u64>,
    pub(super) limit: u32,
    pub(super) in_flight: u32,
}

/// A run, tick by tick.
#[derive(Clone)]
pub(super) struct Report {
    pub(super) ticks: Vec<Tick>,
    warm: usize,
    /// Calls a second, and workers, in the middle of each tick.
    ideal: Vec<f64>,
    workers: Vec<f64>,
    steps: &'static [u64],
}

impl Report {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let ticks = (scenario.seconds * SECOND / TICK) as usize;
        let middle = |n: usize| n as u64 * TICK + TICK / 2;
        Self {
            ticks: vec![Tick::default()],
            warm: (scenario.warm * SECOND / TICK) as usize,
            ideal: (0..ticks).map(|n| scenario.ideal(middle(n))).collect(),
            workers: (0..ticks).map(|n| f64::from((scenario.workers)(middle(n)))).collect(),
            steps: scenario.steps,
        }
    }

    /// Health checks are not counted.
    pub(super) fn count(&mut self, now: u64, is_check: bool, count: impl FnOnce(&mut Tick)) {
        let tick = (now / TICK) as usize;
        if !is_check && tick < self.ideal.len() {
            self.ticks.resize_with(self.ticks.len().max(tick + 1), Tick::default);
            count(&mut self.ticks[tick]);
        }
    }

    pub(super) fn tick(&mut self, limit: u32, in_flight: u32) {
        let last = self.ticks.len() - 1;
        (self.ticks[last].limit, self.ticks[last].in_flight) = (limit, in_flight);
        if self.ticks.len() < self.ideal.len() {
            self.ticks.push(Tick::default());
        }
    }

    fn measured(&self) -> &[Tick] {
        &self.ticks[self.warm..]
    }

    /// Calls that came back in time.
    pub(super) fn good(&self) -> u64 {
        self.measured().iter().map(|tick| tick.good).sum()
    }

    /// The part of what an ideal server with callers that know would have done.
    pub(super) fn goodput(&self) -> f64 {
        let ideal: f64 = self.ideal[self.warm..].iter().sum();
        self.good() as f64 / (ideal * TICK as f64 / SECOND as f64)
    }

    /// Milliseconds that so many of a thousand take no longer than, of those that were let in.
    pub(super) fn latency(&self, permille: usize) -> u64 {
        let ticks = self.measured().iter();
        let mut all: Vec<u64> = ticks.flat_map(|tick| tick.latencies.iter().copied()).collect();
        all.sort_unstable();
        all.get(all.len() * permille / 1000).map_or(0, |ns| ns / 1_000_000)
    }

    pub(super) fn most(&self) -> u32 {
        self.measured().iter().map(|tick| tick.limit).max().unwrap_or(0)
    }

    /// How many seconds after a step, to the end of a tick, the limit was right for the first time, and for
    /// most of the next five: from three quarters of the workers to so many times as many.
    fn converges(&self, step: u64, most: f64) -> Option<f64> {
        let from = (step * SECOND / TICK) as usize;
        let is_right = |n: &usize| {
            let part = f64::from(self.ticks[*n].limit) / self.workers[*n];
            (0.75..=most).contains(&part)
        };
        let next = |n: usize| n..(n + 10).min(self.ticks.len());
        let is_settled = |n: &usize| is_right(n) && next(*n).filter(is_right).count() >= 7;
        let first = (from..self.ticks.len()).find(is_settled)?;
        Some((first + 1 - from) as f64 * TICK as f64 / SECOND as f64)
    }

    /// The slowest of all steps.
    pub(super) fn convergence(&self, most: f64) -> Option<f64> {
        let each = |step: &u64| self.converges(*step, most);
        self.steps.iter().try_fold(0.0_f64, |slowest, step| Some(slowest.max(each(step)?)))
    }
}

/// R. Jain, D. Chiu and W. Hawe, "A quantitative measure of fairness", DEC TR-301, 1984: 1 if all have the same.
pub(super) fn fairness(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}
