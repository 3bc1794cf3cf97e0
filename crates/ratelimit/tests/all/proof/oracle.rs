//! Token buckets as the textbook has them, and what may pass in any window, in whole numbers.

use tidegate_ratelimit::Quota;

/// A token bucket. Its level is kept in fractions of a token of which there are `per` in one.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per: i128,
    /// What comes in a nanosecond, and what there is at most.
    flow: i128,
    most: i128,
    level: i128,
    then: u64,
}

impl Bucket {
    /// A full one, whose fractions tell the rate exactly.
    pub(crate) fn new(quota: Quota) -> Self {
        Self::with_fractions(quota, period(quota))
    }

    /// A full one with fractions that also tell the rates that it will be changed to.
    pub(crate) fn with_fractions(quota: Quota, per: i128) -> Self {
        let most = i128::from(quota.burst()) * per;
        Self { per, flow: flow(quota, per), most, level: most, then: 0 }
    }

    pub(crate) fn take(&mut self, now: u64, cost: u64) -> bool {
        self.advance(now);
        let cost = i128::from(cost).saturating_mul(self.per);
        let passes = cost <= self.level.max(0);
        if passes {
            self.level -= cost;
        }
        passes
    }

    /// All but for what has come at the rate since it was taken, which is the rate of today.
    pub(crate) fn give_back(&mut self, now: u64, cost: u64, taken_at: u64) {
        self.advance(now);
        let came = i128::from(now - taken_at).saturating_mul(self.flow);
        let cost = i128::from(cost).saturating_mul(self.per).saturating_sub(came).max(0);
        self.level = self.level.saturating_add(cost).min(self.most);
    }

    /// What is missing stays missing.
    pub(crate) fn change(&mut self, now: u64, quota: Quota) {
        self.advance(now);
        let most = i128::from(quota.burst()) * self.per;
        self.level += most - self.most;
        (self.most, self.flow) = (most, flow(quota, self.per));
    }

    /// Whole tokens; below none after a burst that was made smaller.
    pub(crate) fn level(&mut self, now: u64) -> i128 {
        self.advance(now);
        self.level.div_euclid(self.per)
    }

    fn advance(&mut self, now: u64) {
        let came = i128::from(now - self.then).saturating_mul(self.flow);
        self.level = self.level.saturating_add(came).min(self.most);
        self.then = now;
    }
}

fn flow(quota: Quota, per: i128) -> i128 {
    let (count, period) = (i128::from(quota.rate().count()), period(quota));
    assert_eq!(per % period, 0, "the fractions tell the rate");
    count * (per / period)
}

/// Of what never comes, any will do.
fn period(quota: Quota) -> i128 {
    let period = quota.rate().period().as_nanos();
    if quota.rate().count() == 0 { 1 } else { i128::try_from(period).unwrap() }
}

/// Sees all that passes, and says whether in some window, whichever, it was more than may.
#[derive(Debug)]
pub(crate) struct Meter {
    quota: Quota,
    /// In tokens times the period: what has passed less what may have by the rate, now and at the
    /// best place for a window to begin.
    sum: i128,
    least: i128,
    passed: u64,
}

impl Meter {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota, sum: 0, least: i128::MAX, passed: 0 }
    }

    /// So much has passed. Windows that begin here, and all that begin before, are within `burst + rate * t`.
    #[must_use]
    pub(crate) fn pass(&mut self, now: u64, cost: u64) -> bool {
        let came = i128::from(now) * i128::from(self.quota.rate().count());
        self.least = self.least.min(self.sum - came);
        self.sum += i128::from(cost) * period(self.quota);
        self.passed += cost;
        self.sum - came - self.least <= i128::from(self.quota.burst()) * period(self.quota)
    }

    /// So much was given back: as much more may pass in windows that this is in.
    pub(crate) fn give_back(&mut self, cost: u64) {
        self.sum -= i128::from(cost) * period(self.quota);
    }

    /// Whether all that has passed until `now` is what comes at the rate, or up to a thousandth less.
    pub(crate) fn is_at_rate(&self, now: u64) -> bool {
        let passed = i128::from(self.passed) * period(self.quota) * 1000;
        passed >= i128::from(now) * i128::from(self.quota.rate().count()) * 999
    }
}
