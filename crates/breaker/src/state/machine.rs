//! The breaker itself: what passes, and what follows from how it ended.

use super::{
    far::Far,
    probes::{Id, Probes},
    rules::{Rules, Settings},
    table::{Cause, State, next},
    tally::{Sample, Tally},
    window::{Ring, nanos},
};
use crate::ConfigError;
use std::time::Duration;
use tidegate_core::Backoff;

/// A call that was let pass: say how it has ended by [`Machine::record`].
///
/// It belongs to the time between two changes of state, its generation, and counts in no other; and once, as it is used
/// up by that.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "a probe that is not recorded keeps its place until its lease ends"]
pub struct Admission {
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) probe: Option<Id>,
}

impl Admission {
    /// The generation, which each change of state begins anew.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What state it was let pass in.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it is to find out if the breaker can close.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    pub(crate) fn probe(&self) -> Option<Id> {
        self.probe
    }
}

/// A call that is not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refusal {
    /// In which state.
    pub state: State,
    /// Until which time, in nanoseconds, if it is known.
    pub until: Option<u64>,
}

/// What has become of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recorded {
    /// It counts.
    Counted,
    /// It counts for nothing, as it says nothing, or as the breaker counts nothing.
    Neutral,
    /// It came too late: the state has changed since the call was let pass, or the lease of the probe has ended and
    /// another call has its place.
    Stale,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What it was before.
    pub from: State,
    /// What it is now; the same, if it was reset.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// The generation that begins: the later of two changes has the larger one.
    pub generation: u64,
    /// What it was decided by: the window, or the probes that have answered.
    pub tally: Tally,
    /// How long it is to stay open; none, if it does not open by itself.
    pub wait: Option<Duration>,
}

/// Something that others should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The state has changed.
    Changed(Change),
    /// It would have opened if it were to do more than count. It has begun to count anew.
    WouldOpen {
        /// Which rule would have opened it.
        cause: Cause,
        /// What the window held.
        tally: Tally,
    },
}

/// What a machine can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To let a call pass.
    Enter,
    /// To take in a result.
    Result { is_bad: bool },
    /// To do what somebody says.
    Told,
    /// Something that changes no state.
    Else,
}

/// A breaker without clock, locks and tasks: times are nanoseconds since an origin of the caller's choice.
///
/// A time that is before one that it was told already is taken for that one.
///
/// ```
/// use tidegate_breaker::state::{Machine, Recorded, Sample, Settings, State};
/// use tidegate_breaker::Trip;
///
/// let settings = Settings::new().trip(Trip::consecutive_failures(1));
/// let mut machine = Machine::new(&settings).unwrap();
/// let (call, _) = machine.enter(0);
/// let failed = Sample { failed: true, slow: false };
/// let (recorded, _) = machine.record(5, call.unwrap(), Some(failed));
/// assert_eq!((recorded, machine.state()), (Recorded::Counted, State::Open));
/// ```
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) rules: Rules,
    pub(super) state: State,
    pub(super) generation: u64,
    pub(super) ring: Ring,
    consecutive: u32,
    probes: Probes,
    pub(super) backoff: Backoff,
    wait: Duration,
    pub(super) until: u64,
    latest: u64,
    pub(super) far: Far,
    /// When a call was let pass or has ended last, as far as that came here.
    heard: u64,
}

impl Machine {
    /// A closed one that has seen nothing.
    ///
    /// # Errors
    ///
    /// If the settings make no sense: see [`ConfigError`].
    pub fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let rules = settings.check()?;
        Ok(Self {
            rules,
            state: State::Closed,
            generation: 0,
            ring: Ring::new(settings.get_window()),
            consecutive: 0,
            probes: Probes::new(rules.probes),
            backoff: settings.wait(),
            wait: Duration::ZERO,
            until: 0,
            latest: 0,
            far: Far::default(),
            heard: 0,
        })
    }

    /// Lets a call pass, or not.
    pub fn enter(&mut self, now: u64) -> (Result<Admission, Refusal>, Option<Note>) {
        let now = self.touch(now);
        let state = self.state;
        let refusal = |until| Err(Refusal { state, until });
        match state {
            State::ForcedOpen => (refusal(None), None),
            State::Open if now < self.until => (refusal(Some(self.until)), None),
            State::Open => {
                if let Some(until) = self.far.holds(now, self.until) {
                    return (refusal(Some(until)), None);
                }
                let note = self.go(now, Cause::WaitOver, Tally::default());
                (self.probe(now), Some(note))
            }
            State::HalfOpen if self.probes.is_silent(now, self.rules.at_most) => {
                let tally = self.probes.tally();
                let note = self.go(now, Cause::ProbesFailed, tally);
                (Err(Refusal { state: self.state, until: self.until() }), Some(note))
            }
            State::HalfOpen => (self.probe(now), None),
            _ => (Ok(Admission { generation: self.generation, state, probe: None }), None),
        }
    }

    fn probe(&mut self, now: u64) -> Result<Admission, Refusal> {
        let (state, generation) = (self.state, self.generation);
        match self.probes.enter(now, self.rules.lease, self.rules.probes) {
            Ok(id) => Ok(Admission { generation, state, probe: Some(id) }),
            Err(until) => Err(Refusal { state, until: Some(until) }),
        }
    }

    /// Takes in how a call has ended; `None`, if that says nothing, or if it was given up.
    #[expect(clippy::needless_pass_by_value, reason = "used up, it counts once")]
    pub fn record(
        &mut self,
        now: u64,
        admission: Admission,
        result: Option<Sample>,
    ) -> (Recorded, Option<Note>) {
        let now = self.touch(now);
        if admission.generation != self.generation {
            return (Recorded::Stale, None);
        }
        match (self.state, result) {
            (State::HalfOpen, result) => self.record_probe(now, admission.probe, result),
            (State::Disabled, _) | (_, None) => (Recorded::Neutral, None),
            (State::ForcedClosed, Some(_)) => (Recorded::Counted, None),
            (_, Some(sample)) => (Recorded::Counted, self.count(now, sample)),
        }
    }

    fn record_probe(
        &mut self,
        now: u64,
        probe: Option<Id>,
        result: Option<Sample>,
    ) -> (Recorded, Option<Note>) {
        if !probe.is_some_and(|id| self.probes.leave(id)) {
            return (Recorded::Stale, None);
        }
        let Some(sample) = result else { return (Recorded::Neutral, None) };
        self.probes.answer(now, sample);
        let cause = match self.probes.verdict(self.rules.probes, self.rules.too_many) {
            Some(true) => Cause::ProbesPassed,
            Some(false) => Cause::ProbesFailed,
            None => return (Recorded::Counted, None),
        };
        let tally = self.probes.tally();
        (Recorded::Counted, Some(self.go(now, cause, tally)))
    }

    fn count(&mut self, now: u64, sample: Sample) -> Option<Note> {
        self.ring.advance(now);
        self.ring.push(sample);
        self.consecutive = if sample.failed { self.consecutive.saturating_add(1) } else { 0 };
        if sample.is_bad() { self.judge(now) } else { None }
    }

    /// Opens if a rule is broken, by what the others of a fleet have counted too.
    pub(super) fn judge(&mut self, now: u64) -> Option<Note> {
        self.ring.advance(now);
        let tally = self.ring.total().plus(self.far.total(now));
        let cause = self.rules.broken(tally, self.consecutive)?;
        if self.state == State::Closed {
            return Some(self.go(now, cause, tally));
        }
        self.ring.clear();
        self.far.forget();
        self.consecutive = 0;
        Some(Note::WouldOpen { cause, tally })
    }

    /// Whether the state may change by what is asked.
    pub(crate) fn may_change(&self, asked: Asked) -> bool {
        match (asked, self.state) {
            (Asked::Enter, State::Open | State::HalfOpen)
            | (Asked::Result { .. }, State::HalfOpen)
            | (Asked::Told, _) => true,
            (Asked::Result { is_bad }, State::Closed) => is_bad,
            _ => false,
        }
    }

    /// The same as to record so many good results, one after the other, when the last one was taken in. Only
    /// where results count.
    pub(crate) fn count_good(&mut self, run: u64) {
        if run > 0 {
            debug_assert!(self.state.counts(), "nothing counts when {}", self.state);
            self.ring.push_good(run);
            self.consecutive = 0;
        }
    }

    /// Whether the result of that call would still count.
    pub fn is_current(&mut self, now: u64, admission: &Admission) -> bool {
        self.at(now);
        admission.generation == self.generation
            && admission.probe.is_none_or(|id| self.probes.is_live(id))
    }

    /// The same; if so, the lease of a probe begins now.
    pub fn renew(&mut self, now: u64, admission: &Admission) -> bool {
        let is_current = self.is_current(now, admission);
        if let (true, Some(id)) = (is_current, admission.probe) {
            self.probes.renew(self.latest, id, self.rules.lease);
        }
        is_current
    }

    /// Forces it open, whatever the state. Calls that run count for nothing, here and with the others.
    pub fn force_open(&mut self, now: u64) -> Option<Note> {
        self.told(now, Cause::ForceOpen)
    }

    /// Forces it closed, whatever the state.
    pub fn force_closed(&mut self, now: u64) -> Option<Note> {
        self.told(now, Cause::ForceClosed)
    }

    /// Has it count and nothing else, whatever the state.
    pub fn metrics_only(&mut self, now: u64) -> Option<Note> {
        self.told(now, Cause::MetricsOnly)
    }

    /// Has it do nothing at all, whatever the state.
    pub fn disable(&mut self, now: u64) -> Option<Note> {
        self.told(now, Cause::Disable)
    }

    /// Closes it, whatever the state, as if it were new.
    pub fn reset(&mut self, now: u64) -> Option<Note> {
        self.told(now, Cause::Reset)
    }

    /// What somebody says. To say again what holds changes nothing, but a reset empties the window.
    pub(crate) fn told(&mut self, now: u64, cause: Cause) -> Option<Note> {
        let now = self.at(now);
        self.ring.advance(now);
        let tally = self.ring.total();
        let is_new = cause == Cause::Reset || next(self.state, cause) != Some(self.state);
        // What was said by force is this breaker's, and so is the end of it.
        let is_reset = cause == Cause::Reset && matches!(self.state, State::Open | State::HalfOpen);
        let note = is_new.then(|| self.go(now, cause, tally));
        self.far.set_reset(is_reset);
        note
    }

    /// Changes the state as the table says, and begins a generation.
    pub(super) fn go(&mut self, now: u64, cause: Cause, tally: Tally) -> Note {
        let from = self.state;
        let to = next(from, cause).expect("the table has a row for whatever is decided here");
        self.state = to;
        self.generation += 1;
        self.ring.clear();
        self.ring.advance(now);
        self.probes.clear();
        self.far.clear();
        self.consecutive = 0;
        match to {
            State::Open => {
                self.wait = self.backoff.next().unwrap_or(self.wait);
                self.until = now.saturating_add(nanos(self.wait));
            }
            State::HalfOpen => {}
            _ => self.backoff.reset(),
        }
        let wait = (to == State::Open).then_some(self.wait);
        Note::Changed(Change { from, to, cause, generation: self.generation, tally, wait })
    }

    pub(super) fn at(&mut self, now: u64) -> u64 {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn touch(&mut self, now: u64) -> u64 {
        self.heard = self.at(now);
        self.heard
    }

    /// The state as of the last call. An open breaker whose wait is over is open until somebody calls.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How many changes there were.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When the wait is over, in nanoseconds, if it is open.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        (self.state == State::Open).then_some(self.until)
    }

    /// What the window holds; if it is half-open, what the probes have answered.
    pub fn tally(&mut self, now: u64) -> Tally {
        if self.state == State::HalfOpen {
            return self.probes.tally();
        }
        let now = self.at(now);
        self.ring.advance(now);
        self.ring.total()
    }

    /// Whether it is closed, and has seen nothing bad that may still matter.
    pub fn is_healthy(&mut self, now: u64) -> bool {
        let tally = self.tally(now);
        let has_series = self.rules.has_series() && self.consecutive > 0;
        self.state == State::Closed && tally.failures + tally.slow == 0 && !has_series
    }

    /// Whether nobody has told it what to do, no wait of it is left, and it has heard of no call `since` then.
    pub fn is_forgotten(&mut self, now: u64, since: u64) -> bool {
        let is_waiting = self.state == State::Open && self.at(now) < self.until;
        let is_own = matches!(self.state, State::Closed | State::Open | State::HalfOpen);
        is_own && !is_waiting && self.heard <= since
    }

    /// How many calls have failed since the last that did not.
    #[must_use]
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive
    }

    /// How many probes have a place and have not answered.
    #[must_use]
    pub fn probes_in_flight(&self) -> usize {
        self.probes.in_flight()
    }

    /// When the slice of the window has begun that results go to; 0, if time does not matter to it.
    pub(crate) fn slice_start(&self) -> u64 {
        self.ring.start()
    }
}
