//! What the handles of a breaker share: the gate for the plain case, and the machine behind a lock for all
//! others.

#[cfg(any(feature = "tower", all(test, tidegate_loom)))]
use super::waiters::Waiters;
use super::{
    event::{Event, Observer},
    pass::Pass,
    stats::{Counts, Stats},
};
use crate::{
    ConfigError, Open, Verdict,
    clock::Clock,
    state::{
        Admission, Asked, Cause, Gate, Machine, Note, Recorded, Refusal, Said, Sample, Settings,
        State, Word,
    },
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tidegate_core::{
    Name,
    inspect::Resource,
    panic::quietly,
    sync::{Mutex, lock},
};
use tokio::sync::watch;

/// One breaker, whatever the number of its handles.
#[expect(missing_debug_implementations, reason = "nobody else can name it")]
pub struct Shared<C: Clock> {
    gate: Padded,
    counts: Counts,
    machine: Mutex<Machine>,
    pub(super) clock: C,
    /// Calls that took longer, in nanoseconds, are slow. Without it no call is timed.
    slow_after: Option<u64>,
    /// How long a result stays in the window, if that depends on the time.
    window_length: Option<u64>,
    /// Whether the time is nothing to good results.
    is_plain: bool,
    pub(super) name: Name,
    pub(super) observer: Observer,
    /// Made for the first who subscribes.
    watch: OnceLock<watch::Sender<State>>,
    #[cfg(any(feature = "tower", all(test, tidegate_loom)))]
    waiters: Waiters,
    resource: OnceLock<Resource>,
}

/// Alone on its lines of the cache: see [`Counts`].
#[repr(align(128))]
struct Padded(Gate);

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
            window_length: settings.get_window().length(),
            is_plain: settings.slow_after().is_none() && settings.get_window().width().is_none(),
            name,
            observer,
            watch: OnceLock::new(),
            #[cfg(any(feature = "tower", all(test, tidegate_loom)))]
            waiters: Waiters::new(),
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

    /// Lets a call pass, which begins now, or says why not. With it goes when that is, if calls are timed.
    #[inline]
    pub(crate) fn enter(&self) -> Result<(Pass, u64), Open> {
        match self.reserve() {
            Ok(pass) => Ok((pass, self.start())),
            Err(open) => {
                self.reject(open);
                Err(open)
            }
        }
    }

    /// A place for a call. Nobody is told if there is none.
    #[inline]
    pub(crate) fn reserve(&self) -> Result<Pass, Open> {
        let word = self.gate.0.look();
        if word.lets_all_pass() {
            return Ok(Pass { word, probe: None });
        }
        self.reserve_slowly(word)
    }

    /// When a call begins, if calls are timed.
    #[inline]
    pub(crate) fn start(&self) -> u64 {
        if self.slow_after.is_some() { self.now() } else { 0 }
    }

    /// Kept apart, as most calls need no time.
    #[inline(never)]
    fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Kept apart, so that the plain case becomes part of whoever asks.
    #[inline(never)]
    fn reserve_slowly(&self, seen: Word) -> Result<Pass, Open> {
        match seen.state() {
            Some(State::ForcedOpen) => {
                return Err(Open { state: State::ForcedOpen, retry_after: None });
            }
            Some(State::Open) => {
                if let Some(wait) = self.gate.0.wait(seen, || self.clock.now()) {
                    let retry_after = Some(Duration::from_nanos(wait));
                    return Err(Open { state: State::Open, retry_after });
                }
            }
            _ => {}
        }
        self.with(Asked::Enter, |machine, now| {
            let (entered, note) = machine.enter(now);
            let pass = |admission: Admission| {
                let (word, probe) = (Word::of(&admission), admission.probe());
                Pass { word, probe }
            };
            let refused = |Refusal { state, until }| {
                let after = |until: u64| Duration::from_nanos(until.saturating_sub(now));
                Open { state, retry_after: until.map(after) }
            };
            (entered.map(pass).map_err(refused), note)
        })
    }

    /// What a refusal comes to by now: for a call that comes long after it.
    #[cfg(feature = "tower")]
    pub(crate) fn refuse_again(&self, open: Open) -> Open {
        self.with(Asked::Else, |machine, now| {
            let left = |until: u64| Duration::from_nanos(until.saturating_sub(now));
            let (state, retry_after) = match machine.state() {
                State::ForcedOpen => (State::ForcedOpen, None),
                State::Open => (State::Open, machine.until().map(left)),
                // Another one may pass at once; this one cannot, as nobody has asked whether it could be served.
                _ => (open.state, Some(Duration::ZERO)),
            };
            (Open { state, retry_after }, None)
        })
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn reject(&self, open: Open) {
        self.counts.rejected.add(1);
        self.observer.tell(&self.name, &Event::Rejected(open));
    }

    /// Whether a result would still count.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn is_current(&self, pass: Pass) -> bool {
        self.is_plainly_current(pass) || self.is_slowly_current(pass, Machine::is_current)
    }

    /// The same for a place that has waited for its call: if so, its time, which is returned, and the lease of a probe begin
    /// now.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn begin(&self, pass: Pass) -> Option<u64> {
        let is_good = self.is_plainly_current(pass) || self.is_slowly_current(pass, Machine::renew);
        is_good.then(|| self.start())
    }

    /// Without the lock, if that can be said.
    #[cfg(feature = "tower")]
    #[inline]
    fn is_plainly_current(&self, pass: Pass) -> bool {
        !pass.is_probe() && pass.word.is_still(self.gate.0.look()) == Some(true)
    }

    #[cfg(feature = "tower")]
    #[cold]
    #[inline(never)]
    fn is_slowly_current(
        &self,
        pass: Pass,
        ask: fn(&mut Machine, u64, &Admission) -> bool,
    ) -> bool {
        self.with(Asked::Else, |machine, now| (ask(machine, now, &pass.admission()), None))
    }

    /// Whom a change of state wakes.
    #[cfg(any(feature = "tower", all(test, tidegate_loom)))]
    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Takes back what was let pass and was never a call.
    #[cfg(feature = "tower")]
    pub(crate) fn release(&self, pass: Pass) {
        if pass.is_probe() {
            self.with(Asked::Else, |machine, now| machine.record(now, pass.admission(), None));
        }
    }

    /// Takes in how a call has ended.
    #[inline]
    pub(super) fn finish(&self, pass: Pass, entered: u64, verdict: Verdict) -> Recorded {
        let is_plain = self.is_plain && verdict == Verdict::Success;
        if is_plain && pass.word.counts() {
            // It is not asked for the time.
            match self.gate.0.good(pass.word, || 0) {
                Said::Counted => return Recorded::Counted,
                Said::Full => {
                    self.counts.succeeded.add(1);
                    return Recorded::Counted;
                }
                Said::Stale | Said::Ask => {}
            }
        }
        self.finish_slowly(pass, entered, verdict)
    }

    #[inline(never)]
    fn finish_slowly(&self, pass: Pass, entered: u64, verdict: Verdict) -> Recorded {
        let failed = match verdict {
            Verdict::Success => false,
            Verdict::Failure => true,
            Verdict::Ignore => return self.nothing(pass, Nothing::Ignored),
        };
        // Read once. If the slice ends after that, the result was in it: who has seen that it is over has held the lock.
        let ended = self.slow_after.map(|most| (most, self.clock.now()));
        let slow = ended.is_some_and(|(most, now)| now.saturating_sub(entered) > most);
        let sample = Sample { failed, slow };
        let recorded = match pass.word.state() {
            Some(State::ForcedClosed) => self.if_current(pass, Recorded::Counted, Some(sample)),
            Some(State::Disabled) => self.if_current(pass, Recorded::Neutral, None),
            _ if pass.word.counts() && !sample.is_bad() => {
                match self
                    .gate
                    .0
                    .good(pass.word, || ended.map_or_else(|| self.clock.now(), |read| read.1))
                {
                    // The gate has the sum.
                    Said::Counted => return Recorded::Counted,
                    Said::Full => Recorded::Counted,
                    Said::Stale => Recorded::Stale,
                    Said::Ask => self.record(pass, sample),
                }
            }
            _ => self.record(pass, sample),
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

    fn record(&self, pass: Pass, sample: Sample) -> Recorded {
        let asked = Asked::Result { is_bad: sample.is_bad() };
        self.with(asked, |machine, now| machine.record(now, pass.admission(), Some(sample)))
    }

    /// Takes in that a call has panicked.
    #[cold]
    #[inline(never)]
    pub(super) fn panicked(&self, pass: Pass, entered: u64) {
        if self.finish(pass, entered, Verdict::Failure) == Recorded::Counted {
            self.counts.panicked.add(1);
        }
    }

    /// Takes in that a call was given up.
    #[cold]
    #[inline(never)]
    pub(super) fn cancelled(&self, pass: Pass) {
        self.nothing(pass, Nothing::Cancelled);
    }

    fn nothing(&self, pass: Pass, why: Nothing) -> Recorded {
        let recorded = if pass.is_probe() {
            self.with(Asked::Else, |machine, now| machine.record(now, pass.admission(), None))
        } else {
            self.if_current(pass, Recorded::Neutral, None)
        };
        match (recorded, why) {
            (Recorded::Stale, _) => return self.stale(),
            _ if pass.word.state() == Some(State::Disabled) => {}
            (_, Nothing::Ignored) => self.counts.ignored.add(1),
            (_, Nothing::Cancelled) => self.counts.cancelled.add(1),
        }
        recorded
    }

    /// What is recorded where that changes nothing, unless it is too late for it.
    fn if_current(&self, pass: Pass, recorded: Recorded, result: Option<Sample>) -> Recorded {
        match pass.word.is_still(self.gate.0.look()) {
            Some(true) => recorded,
            Some(false) => Recorded::Stale,
            None => {
                let admission = pass.admission();
                self.with(Asked::Else, |machine, now| machine.record(now, admission, result))
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn stale(&self) -> Recorded {
        self.counts.stale.add(1);
        self.observer.tell(&self.name, &Event::Stale);
        Recorded::Stale
    }

    /// Looks at the machine, and changes it: with the gate shut, and with all that it has counted taken in.
    pub(super) fn with<R>(
        &self,
        asked: Asked,
        act: impl FnOnce(&mut Machine, u64) -> (R, Option<Note>),
    ) -> R {
        let mut machine = lock(&self.machine);
        if machine.may_change(asked) {
            self.gate.0.hide();
        }
        let run = self.gate.0.shut();
        machine.count_good(run);
        self.counts.succeeded.add(run);
        // With the gate shut, and the state hidden: nothing that came later than this is in the machine, and
        // nobody has seen of a change what came sooner.
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
                let by_itself = change.to == State::Open && change.cause != Cause::FleetOpened;
                self.counts.opened.add(u64::from(by_itself));
                #[cfg(any(feature = "tower", all(test, tidegate_loom)))]
                self.waiters.wake();
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
            // Wakers of subscribers are not to fail the call that is recorded here.
            quietly(|| {
                watch.send_if_modified(|shown| {
                    let state = self.state();
                    let is_new = *shown != state;
                    *shown = state;
                    is_new
                });
            });
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        let first = || watch::Sender::new(self.state());
        let receiver = self.watch.get_or_init(first).subscribe();
        // It may have changed before anybody saw the sender. Who changes it after this has the lock sees the
        // sender; what was changed before is seen here.
        drop(lock(&self.machine));
        self.show();
        receiver
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate.0
    }

    pub(super) fn slow_after(&self) -> Option<u64> {
        self.slow_after
    }

    pub(crate) fn window_length(&self) -> Option<u64> {
        self.window_length
    }

    /// How many calls did not pass so far.
    pub(crate) fn rejected(&self) -> u64 {
        self.counts.rejected.get()
    }

    pub(crate) fn state(&self) -> State {
        let seen = self.gate.0.look().state();
        seen.unwrap_or_else(|| self.with(Asked::Else, |machine, _| (machine.state(), None)))
    }

    /// Whether no more than good results are lost with it.
    pub(crate) fn is_healthy(&self) -> bool {
        self.with(Asked::Else, |machine, now| (machine.is_healthy(now), None))
    }

    /// Whether it has heard of no call since a time, and keeps nobody waiting.
    pub(crate) fn is_forgotten(&self, since: u64) -> bool {
        self.with(Asked::Else, |machine, now| (machine.is_forgotten(now, since), None))
    }

    pub(super) fn stats(&self) -> Stats {
        self.with(Asked::Else, |machine, now| (self.stats_of(machine, now), None))
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
