//! What the handles of a breaker share: the gate for the plain case, and the machine behind a lock for all
//! others.

use super::{
    event::{Event, Observer},
    stats::{Counts, Stats},
};
use crate::{
    ConfigError, Open, Verdict,
    clock::Clock,
    state::{Admission, Gate, Machine, Note, Recorded, Refusal, Said, Sample, Settings, State},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tidegate_core::{
    Name,
    inspect::Resource,
    sync::{Mutex, lock},
};
use tokio::sync::watch;

/// One breaker, whatever the number of its handles.
pub(crate) struct Shared<C: Clock> {
    gate: Padded,
    counts: Counts,
    machine: Mutex<Machine>,
    pub(super) clock: C,
    /// Calls that took longer, in nanoseconds, are slow. Without it no call is timed.
    slow_after: Option<u64>,
    pub(super) name: Name,
    observer: Observer,
    /// Made for the first who subscribes.
    watch: OnceLock<watch::Sender<State>>,
    resource: OnceLock<Resource>,
}

/// Alone on its lines of the cache: see [`Counts`].
#[repr(align(128))]
struct Padded(Gate);

/// A call that was let pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(super) admission: Admission,
    /// When, if calls are timed.
    entered: u64,
}

/// Why a call says nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nothing {
    Ignored,
    Cancelled,
}

impl<C: Clock> Shared<C> {
    pub(crate) fn new(
        clock: C,
        settings: &Settings,
        name: Name,
        observer: Observer,
    ) -> Result<Arc<Self>, ConfigError> {
        let machine = Machine::new(settings)?;
        Ok(Arc::new(Self {
            gate: Padded(Gate::new(settings.get_window(), &machine)),
            counts: Counts::default(),
            machine: Mutex::new(machine),
            clock,
            slow_after: settings.slow_after(),
            name,
            observer,
            watch: OnceLock::new(),
            resource: OnceLock::new(),
        }))
    }

    /// Shows it in the pictures of the inspection.
    #[track_caller]
    pub(super) fn register(self: &Arc<Self>) {
        let me = Arc::downgrade(self);
        let details = move || me.upgrade().map_or_else(Vec::new, |shared| details(&shared.stats()));
        let resource = Resource::with_details("breaker", self.name.clone(), details);
        // It is the first to be put there.
        let _ = self.resource.set(resource);
    }

    /// Lets a call pass, or says why not.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Pass, Open> {
        self.reserve().inspect_err(|open| self.reject(*open))
    }

    /// The same, but nobody is told if it does not pass.
    #[inline]
    pub(crate) fn reserve(&self) -> Result<Pass, Open> {
        let admission = self.gate.0.look();
        match admission.state() {
            State::Open | State::HalfOpen | State::ForcedOpen => self.reserve_slowly(&admission),
            _ => Ok(self.pass(admission)),
        }
    }

    #[inline]
    fn pass(&self, admission: Admission) -> Pass {
        let entered = if self.slow_after.is_some() { self.clock.now() } else { 0 };
        Pass { admission, entered }
    }

    #[inline(never)]
    fn reserve_slowly(&self, seen: &Admission) -> Result<Pass, Open> {
        if seen.state() == State::ForcedOpen {
            return Err(Open { state: State::ForcedOpen, retry_after: None });
        }
        if seen.state() == State::Open {
            if let Some(wait) = self.gate.0.wait(seen, || self.clock.now()) {
                let retry_after = Some(Duration::from_nanos(wait));
                return Err(Open { state: State::Open, retry_after });
            }
        }
        self.with(|machine, now| {
            let (entered, note) = machine.enter(now);
            let entered = entered.map_err(|Refusal { state, until }| {
                let after = |until: u64| Duration::from_nanos(until.saturating_sub(now));
                Open { state, retry_after: until.map(after) }
            });
            (entered, note)
        })
        .map(|admission| self.pass(admission))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn reject(&self, open: Open) {
        self.counts.rejected.add(1);
        self.observer.tell(&self.name, &Event::Rejected(open));
    }

    /// Whether a result would still count.
    #[cfg(feature = "tower")]
    pub(super) fn is_current(&self, pass: &Pass) -> bool {
        let admission = pass.admission;
        if admission.is_probe() {
            self.with(|machine, now| (machine.is_current(now, admission), None))
        } else {
            self.gate.0.is_current(&admission)
        }
    }

    /// The same for one that has waited: if so, its time and the lease of a probe begin now.
    #[cfg(feature = "tower")]
    pub(super) fn renew(&self, pass: &mut Pass) -> bool {
        let admission = pass.admission;
        let is_good = if admission.is_probe() {
            self.with(|machine, now| (machine.renew(now, admission), None))
        } else {
            self.gate.0.is_current(&admission)
        };
        if is_good {
            *pass = self.pass(admission);
        }
        is_good
    }

    /// Takes back what was let pass and was never a call.
    pub(super) fn release(&self, pass: &Pass) {
        if pass.admission.is_probe() {
            self.with(|machine, now| machine.record(now, pass.admission, None));
        }
    }

    /// Takes in how a call has ended.
    #[inline]
    pub(crate) fn finish(&self, pass: &Pass, verdict: Verdict) -> Recorded {
        let failed = match verdict {
            Verdict::Success => false,
            Verdict::Failure => true,
            Verdict::Ignore => return self.nothing(pass, Nothing::Ignored),
        };
        let took = |most| self.clock.now().saturating_sub(pass.entered) > most;
        let sample = Sample { failed, slow: self.slow_after.is_some_and(took) };
        if !sample.is_bad() && pass.admission.state().counts() {
            match self.gate.0.good(&pass.admission, || self.clock.now()) {
                Said::Counted => return Recorded::Counted,
                Said::Full => {
                    self.counts.succeeded.add(1);
                    return Recorded::Counted;
                }
                Said::Stale => return self.stale(),
                Said::Ask => {}
            }
        }
        self.finish_slowly(pass, sample)
    }

    #[inline(never)]
    fn finish_slowly(&self, pass: &Pass, sample: Sample) -> Recorded {
        let admission = pass.admission;
        let recorded = match admission.state() {
            State::ForcedClosed => self.if_current(pass, Recorded::Counted),
            State::Disabled => self.if_current(pass, Recorded::Neutral),
            _ => self.with(|machine, now| machine.record(now, admission, Some(sample))),
        };
        match recorded {
            Recorded::Stale => return self.stale(),
            Recorded::Counted if sample.failed => self.counts.failed.add(1),
            Recorded::Counted => self.counts.succeeded.add(1),
            Recorded::Neutral => {}
        }
        if recorded == Recorded::Counted && sample.slow {
            self.counts.slow.add(1);
        }
        recorded
    }

    /// Takes in that a call has panicked.
    #[cold]
    pub(crate) fn panicked(&self, pass: &Pass) {
        if self.finish(pass, Verdict::Failure) == Recorded::Counted {
            self.counts.panicked.add(1);
        }
    }

    /// Takes in that a call was given up.
    pub(crate) fn cancelled(&self, pass: &Pass) {
        self.nothing(pass, Nothing::Cancelled);
    }

    fn nothing(&self, pass: &Pass, why: Nothing) -> Recorded {
        let admission = pass.admission;
        let recorded = if admission.is_probe() {
            self.with(|machine, now| machine.record(now, admission, None))
        } else {
            self.if_current(pass, Recorded::Neutral)
        };
        match (recorded, why) {
            (Recorded::Stale, _) => return self.stale(),
            _ if admission.state() == State::Disabled => {}
            (_, Nothing::Ignored) => self.counts.ignored.add(1),
            (_, Nothing::Cancelled) => self.counts.cancelled.add(1),
        }
        recorded
    }

    fn if_current(&self, pass: &Pass, recorded: Recorded) -> Recorded {
        if self.gate.0.is_current(&pass.admission) { recorded } else { Recorded::Stale }
    }

    #[cold]
    #[inline(never)]
    fn stale(&self) -> Recorded {
        self.counts.stale.add(1);
        self.observer.tell(&self.name, &Event::Stale);
        Recorded::Stale
    }

    /// Looks at the machine, and changes it: with the gate shut, and with all that it has counted taken in.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Machine, u64) -> (R, Option<Note>)) -> R {
        let mut machine = lock(&self.machine);
        let run = self.gate.0.shut();
        machine.count_good(run);
        self.counts.succeeded.add(run);
        // With the gate shut: no result is in the machine that came later than this.
        let now = self.clock.now();
        let (result, note) = act(&mut machine, now);
        self.gate.0.publish(&machine);
        drop(machine);
        if let Some(note) = note {
            self.tell(note);
        }
        result
    }

    #[cold]
    fn tell(&self, note: Note) {
        let event = match note {
            Note::Changed(change) => {
                self.counts.opened.add(u64::from(change.to == State::Open));
                self.show();
                Event::Changed(change)
            }
            Note::WouldOpen { cause, tally } => Event::WouldOpen { cause, tally },
        };
        self.observer.tell(&self.name, &event);
    }

    /// Shows the state to subscribers. It is looked at anew: whoever is the last to come here shows the last one.
    fn show(&self) {
        if let Some(watch) = self.watch.get() {
            watch.send_if_modified(|shown| {
                let state = self.gate.0.look().state();
                let is_new = *shown != state;
                *shown = state;
                is_new
            });
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        let first = || watch::Sender::new(self.state());
        let receiver = self.watch.get_or_init(first).subscribe();
        // It may have changed before anybody saw the sender.
        self.show();
        receiver
    }

    pub(crate) fn state(&self) -> State {
        self.gate.0.look().state()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.with(|machine, now| (self.stats_of(machine, now), None))
    }

    fn stats_of(&self, machine: &mut Machine, now: u64) -> Stats {
        let Counts {
            succeeded,
            failed,
            slow,
            panicked,
            ignored,
            cancelled,
            stale,
            rejected,
            opened,
        } = &self.counts;
        let wait = |until: u64| Duration::from_nanos(until.saturating_sub(now));
        Stats {
            state: machine.state(),
            generation: machine.generation(),
            tally: machine.tally(now),
            consecutive_failures: machine.consecutive_failures(),
            probes_in_flight: machine.probes_in_flight(),
            retry_after: machine.until().map(wait),
            succeeded: succeeded.get(),
            failed: failed.get(),
            slow: slow.get(),
            panicked: panicked.get(),
            ignored: ignored.get(),
            cancelled: cancelled.get(),
            stale: stale.get(),
            rejected: rejected.get(),
            opened: opened.get(),
        }
    }
}

fn details(stats: &Stats) -> Vec<(&'static str, String)> {
    let Stats { state, tally, rejected, .. } = stats;
    vec![
        ("state", state.to_string()),
        ("calls", tally.calls.to_string()),
        ("failures", tally.failures.to_string()),
        ("slow", tally.slow.to_string()),
        ("rejected", rejected.to_string()),
    ]
}
