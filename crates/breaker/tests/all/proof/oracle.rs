//! A breaker that keeps all results and leases of a generation, and looks at each of them whenever it decides.

use tidegate_breaker::{Recorded, State, Verdict};

#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    Count(u32),
    /// So many slices, each so long.
    Time(u32, u64),
}

/// Rates are thirtieths, so that there are tenths, sixths and thirds, and times nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    pub(super) span: Span,
    pub(super) failures: Option<u64>,
    pub(super) slow: Option<u64>,
    pub(super) slow_after: u64,
    pub(super) consecutive: Option<u32>,
    pub(super) min_calls: u32,
    pub(super) probes: u32,
    pub(super) below: u64,
    pub(super) lease: u64,
    pub(super) at_most: u64,
    pub(super) wait: u64,
    pub(super) max_wait: u64,
}

#[derive(Clone, Copy, Debug)]
struct Result {
    at: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Lease {
    Until(u64),
    Answered { failed: bool, slow: bool },
    Gone,
}

/// A call that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    generation: u64,
    probe: Option<usize>,
    entered: u64,
}

pub(super) struct Oracle {
    config: Config,
    pub(super) state: State,
    pub(super) generation: u64,
    results: Vec<Result>,
    leases: Vec<Lease>,
    /// When probes have begun, and when some have answered.
    begun: Vec<u64>,
    answered: Vec<u64>,
    /// How many had begun at the last answer, and how many of them ran on.
    begun_before: usize,
    ran_on: usize,
    until: u64,
    opened: u32,
    pub(super) would_open: u64,
}

impl Oracle {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Closed,
            generation: 0,
            results: Vec::new(),
            leases: Vec::new(),
            begun: Vec::new(),
            answered: Vec::new(),
            begun_before: 0,
            ran_on: 0,
            until: 0,
            opened: 0,
            would_open: 0,
        }
    }

    /// After which time, if it does not pass and that is known.
    pub(super) fn enter(&mut self, now: u64) -> std::result::Result<Call, Option<u64>> {
        if self.state == State::Open && now >= self.until {
            self.go(State::HalfOpen);
        }
        let mut call = Call { generation: self.generation, probe: None, entered: now };
        match self.state {
            State::ForcedOpen => return Err(None),
            State::Open => return Err(Some(self.until - now)),
            State::HalfOpen => {
                if self.is_silent(now) {
                    self.open(now);
                    return Err(Some(self.until - now));
                }
                let taken = self.leases.iter().filter(|lease| **lease != Lease::Gone).count();
                if taken >= self.config.probes as usize {
                    let ends =
                        self.leases.iter().enumerate().filter_map(|(n, lease)| match lease {
                            Lease::Until(until) => Some((*until, n)),
                            _ => None,
                        });
                    let (until, first) = ends.min().unwrap();
                    if until > now {
                        return Err(Some(until - now));
                    }
                    self.leases[first] = Lease::Gone;
                }
                self.begun.push(now);
                call.probe = Some(self.leases.len());
                self.leases.push(Lease::Until(now + self.config.lease));
            }
            _ => {}
        }
        Ok(call)
    }

    /// Nobody has answered for too long: since a probe has begun, or if some ran on, since the last answer.
    fn is_silent(&self, now: u64) -> bool {
        let (since, ran_on) = self.answered.last().map_or((0, 0), |at| (*at, self.ran_on));
        let begun = self.begun.iter().skip(self.begun_before).copied().next();
        let since = if ran_on > 0 { Some(since) } else { begun };
        since.is_some_and(|since| now - since >= self.config.at_most)
    }

    pub(super) fn finish(&mut self, now: u64, call: Call, verdict: Option<Verdict>) -> Recorded {
        if call.generation != self.generation {
            return Recorded::Stale;
        }
        let failed = match verdict {
            Some(Verdict::Success) => Some(false),
            Some(Verdict::Failure) => Some(true),
            Some(Verdict::Ignore) | None => None,
        };
        let slow = self.config.slow.is_some() && now - call.entered > self.config.slow_after;
        if let Some(probe) = call.probe {
            if self.leases[probe] == Lease::Gone {
                return Recorded::Stale;
            }
            let answer = failed.map(|failed| Lease::Answered { failed, slow });
            self.leases[probe] = answer.unwrap_or(Lease::Gone);
            if answer.is_some() {
                self.answered.push(now);
                self.begun_before = self.begun.len();
                let runs = |lease: &&Lease| matches!(lease, Lease::Until(_));
                self.ran_on = self.leases.iter().filter(runs).count();
            }
            self.judge(now);
            return if failed.is_some() { Recorded::Counted } else { Recorded::Neutral };
        }
        match (self.state, failed) {
            (State::Disabled, _) | (_, None) => Recorded::Neutral,
            (State::ForcedClosed, Some(_)) => Recorded::Counted,
            (_, Some(failed)) => {
                self.results.push(Result { at: now, failed, slow });
                if (failed || slow) && self.is_broken(now) {
                    if self.state == State::Closed {
                        self.open(now);
                    } else {
                        self.results.clear();
                        self.would_open += 1;
                    }
                }
                Recorded::Counted
            }
        }
    }

    /// Whatever those that are missing say, it is decided.
    fn judge(&mut self, now: u64) {
        let tally = self.tally(now);
        let bad = self
            .leases
            .iter()
            .filter(|lease| matches!(lease, Lease::Answered { failed, slow } if *failed || *slow));
        let (bad, all) = (bad.count() as u64, u64::from(self.config.probes));
        let worst = bad + all - tally.0;
        if bad * 30 >= self.config.below * all {
            self.open(now);
        } else if worst * 30 < self.config.below * all {
            self.opened = 0;
            self.go(State::Closed);
        }
    }

    fn is_broken(&self, now: u64) -> bool {
        let (calls, failures, slow) = self.tally(now);
        let is_reached = |part: Option<u64>, some: u64| {
            let reached = part.is_some_and(|part| some * 30 >= calls * part);
            reached && some > 0 && calls >= self.config.min_calls.into()
        };
        is_reached(self.config.failures, failures)
            || is_reached(self.config.slow, slow)
            || self.config.consecutive.is_some_and(|most| self.consecutive() >= most)
    }

    pub(super) fn consecutive(&self) -> u32 {
        let series = self.results.iter().rev().take_while(|result| result.failed);
        u32::try_from(series.count()).unwrap()
    }

    /// Calls, failures, slow ones.
    pub(super) fn tally(&self, now: u64) -> (u64, u64, u64) {
        let mut sum = (0, 0, 0);
        let mut add = |failed, slow| {
            sum = (sum.0 + 1, sum.1 + u64::from(failed), sum.2 + u64::from(slow));
        };
        if self.state == State::HalfOpen {
            for lease in &self.leases {
                if let Lease::Answered { failed, slow } = *lease {
                    add(failed, slow);
                }
            }
            return sum;
        }
        let last = match self.config.span {
            Span::Count(count) => count as usize,
            Span::Time(..) => usize::MAX,
        };
        for result in self.results.iter().rev().take(last) {
            if let Span::Time(slices, width) = self.config.span {
                if result.at / width + u64::from(slices) <= now / width {
                    continue;
                }
            }
            add(result.failed, result.slow);
        }
        sum
    }

    fn open(&mut self, now: u64) {
        let factor = 1_u64 << self.opened.min(30);
        self.until = now + (self.config.wait * factor).min(self.config.max_wait);
        self.opened += 1;
        self.go(State::Open);
    }

    /// What somebody says.
    pub(super) fn told(&mut self, to: State) {
        if self.state != to || to == State::Closed {
            self.opened = 0;
            self.go(to);
        }
    }

    fn go(&mut self, to: State) {
        self.state = to;
        self.generation += 1;
        self.results.clear();
        self.leases.clear();
        self.begun.clear();
        self.answered.clear();
        (self.begun_before, self.ran_on) = (0, 0);
    }

    pub(super) fn wait(&self, now: u64) -> Option<u64> {
        (self.state == State::Open).then(|| self.until.saturating_sub(now))
    }
}
