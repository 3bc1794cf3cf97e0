//! What was seen since the limit has changed last.

use super::Sample;
use crate::Outcome;
use std::time::Duration;

/// Fewer calls say nothing: one of them may be a lucky one, or a health check.
const MIN_SAMPLES: u32 = 16;
/// A window is no shorter.
const MIN_TIME: Duration = Duration::from_millis(100);
/// What is older is forgotten, unless the window is full by then.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Samples, until there are enough of them: sums alone, however many there are.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// What ends before this still belongs to the limit of before.
    opens: Duration,
    began: Option<Duration>,
    sum: f64,
    calls: u32,
    /// Those of them that were cancelled, late.
    given_up: u32,
    failures: u32,
    in_flight: u32,
    /// The part of the sum of those that came back, and how many they are.
    back: (f64, u32),
    /// Seconds, of all of the window before.
    last: f64,
    /// Seconds, of those that came back in the last window in which some did. What is given up is compared
    /// with this: compared with itself, a timeout that is always the same would soon be as usual.
    usual: f64,
    /// Any has ever come back.
    has_come_back: bool,
}

/// A window that is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// The mean latency in seconds, if anything but failures was seen.
    pub(super) rtt: Option<f64>,
    /// The most that were in flight.
    pub(super) in_flight: u32,
    /// So many that whatever is behind it must be overloaded have failed, or were given up.
    pub(super) is_overloaded: bool,
    /// Some have.
    pub(super) has_failures: bool,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            opens: Duration::ZERO,
            began: None,
            sum: 0.0,
            calls: 0,
            given_up: 0,
            failures: 0,
            in_flight: 0,
            back: (0.0, 0),
            last: 0.0,
            usual: 0.0,
            has_come_back: false,
        }
    }

    /// Begins again, at that time.
    pub(super) fn restart(&mut self, opens: Duration) {
        let Self { last, usual, has_come_back, .. } = *self;
        *self = Self { opens, last, usual, has_come_back, ..Self::new() };
    }

    /// Seconds a call takes, as far as is known.
    pub(super) fn typical(&self) -> Duration {
        Duration::try_from_secs_f64(self.last).unwrap_or(MAX_TIME).min(MAX_TIME)
    }

    /// What was seen, if that is enough; then it begins again, once those are through that were let in by
    /// the limit of before.
    pub(super) fn add(&mut self, now: Duration, sample: Sample) -> Option<Seen> {
        if now < self.opens || !self.takes(now, sample) {
            return None;
        }
        let began = self.began.unwrap_or(now);
        let seen = self.calls + self.failures;
        if seen < MIN_SAMPLES || now.saturating_sub(began) < MIN_TIME {
            return None;
        }
        let rtt = (self.calls > 0).then(|| self.sum / f64::from(self.calls));
        let seen = Seen {
            rtt,
            in_flight: self.in_flight,
            is_overloaded: self.failures * 10 >= seen || self.given_up * 2 >= seen,
            has_failures: self.failures > 0,
        };
        self.last = rtt.unwrap_or(self.last);
        if self.back.1 > 0 {
            self.usual = self.back.0 / f64::from(self.back.1);
        }
        self.restart(now.saturating_add(self.typical()));
        Some(seen)
    }

    /// Counts it, if it says anything.
    fn takes(&mut self, now: Duration, sample: Sample) -> bool {
        if self.began.is_some_and(|began| now.saturating_sub(began) > MAX_TIME) {
            self.restart(now);
        }
        let seconds = sample.seconds();
        match sample.outcome {
            Outcome::Success => {
                self.has_come_back = true;
                self.back = (self.back.0 + seconds, self.back.1 + 1);
            }
            Outcome::Failure => self.failures += 1,
            // It would have taken at least as long, which is news only if it is longer than usual. While nothing
            // has come back, nothing is usual: nobody may ever say what has become of a call.
            Outcome::Cancelled if self.has_come_back && seconds > self.usual => self.given_up += 1,
            Outcome::Cancelled | Outcome::Ignored => return false,
        }
        if sample.outcome != Outcome::Failure {
            self.calls += 1;
            self.sum += seconds;
        }
        self.began.get_or_insert(now);
        self.in_flight = self.in_flight.max(sample.in_flight);
        true
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn sample(ms: u64, outcome: Outcome) -> Sample {
        Sample { latency: Duration::from_millis(ms), in_flight: 3, outcome }
    }

    /// One each 10 ms.
    fn fill(window: &mut Window, from: u32, samples: &[Sample]) -> Vec<Seen> {
        let at = |n| Duration::from_millis(10) * (from + n);
        let all = (0..).zip(samples);
        all.filter_map(|(n, sample)| window.add(at(n), *sample)).collect()
    }

    #[test]
    fn a_window_is_a_mean_of_enough_and_opens_again_after_one_call() {
        let mut window = Window::new();
        let seen = fill(&mut window, 0, &[sample(40, Outcome::Success); 15]);
        assert_eq!(seen, []);
        let seen = fill(&mut window, 15, &[sample(80, Outcome::Success)]);
        let rtt = (15.0 * 0.04 + 0.08) / 16.0;
        assert!(seen[0].rtt.is_some_and(|seen| (seen - rtt).abs() < 1e-9));
        assert!(!seen[0].is_overloaded && !seen[0].has_failures);
        // Until 150 + 42.5 ms: four more count for nothing.
        assert_eq!(fill(&mut window, 16, &[sample(40, Outcome::Success); 19]), []);
        assert_eq!(fill(&mut window, 35, &[sample(40, Outcome::Success)]).len(), 1);
    }

    #[test]
    fn what_is_given_up_late_was_at_least_as_slow() {
        let mut window = Window::new();
        fill(&mut window, 0, &[sample(10, Outcome::Success); 16]);
        let mut samples = vec![sample(5, Outcome::Cancelled); 20];
        samples.extend([sample(10, Outcome::Success); 8]);
        samples.extend([sample(500, Outcome::Cancelled); 8]);
        let seen = fill(&mut window, 20, &samples);
        assert!(seen[0].rtt.is_some_and(|rtt| rtt > 0.2), "{seen:?}");
        assert!(seen[0].is_overloaded);
    }

    #[test]
    fn old_samples_are_forgotten_and_ignored_ones_never_counted() {
        let mut window = Window::new();
        fill(&mut window, 0, &[sample(10, Outcome::Success); 15]);
        assert_eq!(fill(&mut window, 4000, &[sample(10, Outcome::Success); 15]), []);
        assert_eq!(fill(&mut window, 4015, &[sample(10, Outcome::Ignored); 50]), []);
        let seen = fill(&mut window, 4070, &[sample(10, Outcome::Failure); 2]);
        assert!(seen[0].has_failures && !seen[0].is_overloaded);
    }
}
