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

/// An error is late if it took this many times as long as a call that does not wait. However long calls take, no more
/// than half of them take twice as long as they do on average (Markov's inequality), so that errors which have nothing
/// to do with load are not mostly late.
const LATE: f64 = 2.0;

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
    /// Errors of which nobody has said why.
    errors: u32,
    /// Those of them that were late.
    late: u32,
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
            errors: 0,
            late: 0,
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
    /// the limit of before. A call that does not wait takes `base` seconds, if that is known.
    pub(super) fn add(&mut self, now: Duration, sample: Sample, base: Option<f64>) -> Option<Seen> {
        if now < self.opens || !self.takes(now, sample, base) {
            return None;
        }
        let began = self.began.unwrap_or(now);
        let told = self.calls + self.failures;
        if told.max(self.late) < MIN_SAMPLES || now.saturating_sub(began) < MIN_TIME {
            return None;
        }
        let has_rtt = self.calls > 0 && told >= MIN_SAMPLES;
        let rtt = has_rtt.then(|| self.sum / f64::from(self.calls));
        let all = told + self.errors;
        let seen = Seen {
            rtt,
            in_flight: self.in_flight,
            is_overloaded: self.failures * 10 >= all || (self.given_up + self.late) * 2 >= all,
            has_failures: self.failures > 0,
        };
        self.last = rtt.unwrap_or(self.last);
        if self.back.1 > 0 {
            self.usual = self.back.0 / f64::from(self.back.1);
        }
        // What is late tells how long others take that were let in with it.
        let is_error = sample.outcome == Outcome::Error;
        let through = if is_error { sample.latency.min(MAX_TIME) } else { Duration::ZERO };
        self.restart(now.saturating_add(self.typical().max(through)));
        Some(seen)
    }

    /// Counts it, if it says anything.
    fn takes(&mut self, now: Duration, sample: Sample, base: Option<f64>) -> bool {
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
            // No latency: what fails early is no measure of a call that succeeds.
            Outcome::Error => {
                self.errors = self.errors.saturating_add(1);
                self.late += u32::from(base.is_some_and(|base| seconds > base * LATE));
            }
            // It would have taken at least as long, which is news only if it is longer than usual. While nothing
            // has come back, nothing is usual: nobody may ever say what has become of a call.
            Outcome::Cancelled if self.has_come_back && seconds > self.usual => self.given_up += 1,
            Outcome::Cancelled | Outcome::Ignored => return false,
        }
        if !matches!(sample.outcome, Outcome::Failure | Outcome::Error) {
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
        all.filter_map(|(n, sample)| window.add(at(n), *sample, Some(0.01))).collect()
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

    #[test]
    fn errors_in_time_are_no_sample_and_late_ones_are_as_what_is_given_up() {
        let mut window = Window::new();
        assert_eq!(fill(&mut window, 0, &vec![sample(20, Outcome::Error); 1000]), []);
        let mut samples = vec![sample(1, Outcome::Error); 24];
        samples.extend([sample(10, Outcome::Success); 16]);
        let seen = fill(&mut window, 1000, &samples);
        assert!(seen[0].rtt.is_some_and(|rtt| (rtt - 0.01).abs() < 1e-9), "{seen:?}");
        assert!(!seen[0].is_overloaded && !seen[0].has_failures, "{seen:?}");
        for (in_time, is_overloaded) in [(14, true), (18, false)] {
            let mut window = Window::new();
            let mut samples = vec![sample(20, Outcome::Error); in_time];
            samples.extend([sample(1, Outcome::Success); 1]);
            samples.extend([sample(21, Outcome::Error); 16]);
            let seen = fill(&mut window, 0, &samples);
            assert_eq!((seen[0].rtt, seen[0].is_overloaded), (None, is_overloaded));
        }
    }

    /// A hundred that time out together are one overload.
    #[test]
    fn after_late_errors_it_opens_once_those_are_through_that_were_let_in_with_them() {
        let mut window = Window::new();
        let seen = fill(&mut window, 0, &[sample(1000, Outcome::Error); 116]);
        assert_eq!(seen.len(), 1);
        assert_eq!(fill(&mut window, 116, &[sample(1000, Outcome::Error); 16]).len(), 1);
    }
}
