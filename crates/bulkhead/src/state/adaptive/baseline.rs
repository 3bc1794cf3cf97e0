//! How long a call takes that does not queue.

use super::{
    Sample,
    level::Level,
    rng::{next_of, part_of},
    window::Seen,
};
use crate::Outcome;
use std::time::Duration;

/// A look is as good as this many calls make it.
const PROBE_SAMPLES: u32 = 32;
/// With fewer, it is none.
const PROBE_LEAST: u32 = 8;
/// It takes no longer than to get so many calls within this.
const PROBE_TIME: Duration = Duration::from_secs(1);
/// Nor does it wait for longer for the others to leave.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// What seems to have changed much is looked at within this.
const SOON: Duration = Duration::from_millis(250);
/// How often the pause is doubled at most, while looks are in vain since too few leave.
const MAX_MISSED: u32 = 5;
/// How much of what was known a faster window changes. It is not the minimum: the mean of a window is a
/// bit low by chance once in a while, and the least of many windows is far too low.
const LEARNS: f64 = 1.0 / 8.0;
/// What is this much longer than what was known may be a queue.
const MAY_QUEUE: f64 = 1.25;
/// It was one, if half as many take this much of the time at most.
const DID_QUEUE: f64 = 0.8;

/// The time of a call that does not queue, and the times at which that is looked at.
///
/// What is seen while calls do queue must not raise it, or the queue becomes the measure of itself. So a
/// window only ever lowers it, and what raises it is a probe alone, as in BBR (N. Cardwell et al., "BBR:
/// Congestion-based congestion control", ACM Queue 14(5), 2016): half of those who were in flight, for as
/// long as some calls take.
///
/// Clients of one service see each other's queues, which a probe of one of them does not empty. So they look at
/// the same times, multiples of the pause by a clock that they have in common.
///
/// | probe | until | then |
/// |---|---|---|
/// | none | it is time, which is soon if the limit has fallen by half, or is the least | drains |
/// | drains | no more than half are in flight, and have been for the time of a call | measures |
/// | measures | there are enough calls | none, with a new baseline; if that is much longer, drains once more, to half, until it is no shorter |
/// | any | it takes too long, though nothing ends, or calls fail | none, as before |
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    seconds: Option<f64>,
    probe: Option<Probe>,
    every: Duration,
    phase: Duration,
    next: Duration,
    /// The limit after the last probe.
    mark: f64,
    /// How many were in flight in the window since then, if there was one.
    in_flight: Option<u32>,
    /// How many probes have ended with too many in flight still, one after the other.
    missed: u32,
}

#[derive(Clone, Debug)]
struct Probe {
    limit: f64,
    /// It is over then, whatever was seen, and if nothing was.
    until: Duration,
    /// The time after which those who were let in since there are few enough are all that was seen.
    drained: Option<Duration>,
    calls: u32,
    failures: u32,
    sum: f64,
    /// What was seen with twice as many.
    before: Option<f64>,
}

impl Baseline {
    pub(super) fn new(every: Duration, seed: u64, limit: f64) -> Self {
        Self {
            seconds: None,
            probe: None,
            every,
            phase: part_of(every, seed),
            next: Duration::ZERO,
            mark: limit,
            in_flight: None,
            missed: 0,
        }
    }

    /// Seconds, if anything is known.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// How many may be in flight while it is looked at.
    pub(super) fn probing(&self) -> Option<f64> {
        self.probe.as_ref().map(|probe| probe.limit)
    }

    /// When the probe is over, if there is one and nothing else ends it.
    pub(super) fn due(&self) -> Option<Duration> {
        self.probe.as_ref().map(|probe| probe.until)
    }

    /// Begins a probe, if it is time; a call takes so long.
    pub(super) fn begin(&mut self, now: Duration, call: Duration, level: Level) -> bool {
        let is_time = self.seconds.is_some() && now >= self.next;
        let Some(in_flight) = self.in_flight.filter(|_| is_time) else { return false };
        let limit = level.within(f64::from(in_flight) / 2.0);
        self.probe = Some(Probe::new(now, call, limit, None));
        true
    }

    /// A window has gone by, at that limit.
    pub(super) fn learn(&mut self, now: Duration, level: Level, seen: Seen) {
        let Some(rtt) = seen.rtt.filter(|_| !seen.is_overloaded) else { return };
        let known = *self.seconds.get_or_insert(rtt);
        if rtt < known {
            self.seconds = Some(known + (rtt - known) * LEARNS);
        }
        if seen.in_flight <= 1 {
            // One alone does not queue: that was a probe.
            self.found(rtt);
            self.plan(now, level);
            return;
        }
        self.in_flight = Some(seen.in_flight);
        let soon = self.every / 8;
        if level.get() * 2.0 <= self.mark {
            self.next = self.next.min(next_of(now, soon.min(SOON), self.phase));
        } else if level.is_least() && self.missed == 0 {
            self.next = self.next.min(next_of(now, soon, self.phase));
        }
    }

    /// A call has ended during a probe; whether that is over.
    pub(super) fn probe(
        &mut self,
        now: Duration,
        sample: Sample,
        call: Duration,
        level: Level,
    ) -> bool {
        let Some(probe) = &mut self.probe else { return true };
        probe.is_over(now, sample, call) && self.end(now, call, level)
    }

    /// The probe has ended; whether there is none any more.
    pub(super) fn end(&mut self, now: Duration, call: Duration, level: Level) -> bool {
        let Some(probe) = self.probe.take() else { return true };
        let Probe { limit, calls, sum, before, drained, .. } = probe;
        self.missed = if drained.is_none() { (self.missed + 1).min(MAX_MISSED) } else { 0 };
        if calls < PROBE_LEAST {
            return true;
        }
        let seen = sum / f64::from(calls);
        let half = level.within((limit / 2.0).max(1.0));
        let may_queue = half < limit && self.seconds.is_some_and(|known| seen > known * MAY_QUEUE);
        if may_queue && before.is_none_or(|before| seen < before * DID_QUEUE) {
            self.probe = Some(Probe::new(now, call, half, Some(seen)));
            return false;
        }
        self.found(seen);
        true
    }

    fn found(&mut self, seen: f64) {
        self.seconds = Some(match self.seconds {
            // A bit up or down is chance.
            Some(known) if seen < known * 2.0 && known < seen * 2.0 => f64::midpoint(known, seen),
            _ => seen,
        });
    }

    /// A probe is over, and this is the limit again.
    pub(super) fn plan(&mut self, now: Duration, level: Level) {
        self.mark = level.get();
        self.in_flight = None;
        self.next = next_of(now, self.every.saturating_mul(1 << self.missed), self.phase);
    }
}

impl Probe {
    fn new(now: Duration, call: Duration, limit: f64, before: Option<f64>) -> Self {
        let until = now.saturating_add(DRAIN_TIME).saturating_add(call);
        Self { limit, until, drained: None, calls: 0, failures: 0, sum: 0.0, before }
    }

    fn is_over(&mut self, now: Duration, sample: Sample, call: Duration) -> bool {
        if sample.outcome == Outcome::Failure {
            self.failures += 1;
        }
        if self.failures >= PROBE_LEAST {
            self.calls = 0;
            return true;
        }
        let Some(after) = self.drained else {
            if now >= self.until {
                return true;
            }
            if f64::from(sample.in_flight.saturating_sub(1)) <= self.limit {
                self.drained = Some(now.saturating_add(call));
                self.until = now.saturating_add(PROBE_TIME).saturating_add(call * 2);
            }
            return false;
        };
        if now >= after && sample.outcome == Outcome::Success {
            self.calls += 1;
            self.sum += sample.seconds();
        }
        self.calls >= PROBE_SAMPLES || now >= self.until
    }
}
