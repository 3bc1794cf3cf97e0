//! What a store does: the record of a fleet and what its instances have told, without clock and I/O.

use crate::state::Tally;
use std::collections::BTreeMap;

/// The numbers of so many instances are kept; those of more are not heard, and they are
/// [told so](crate::Event::FleetFull).
pub const MAX_INSTANCES: usize = 256;

/// Which record, and which state of it: another number with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Basis {
    /// Drawn by whoever made the record.
    pub(super) run: u64,
    pub(super) epoch: u64,
}

/// How the asker stands. Times are microseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mine {
    Watching,
    Closed,
    Reset,
    Open { left: u64 },
    Probing { lease: u64, asks: bool },
}

/// What a fleet's store is told by an instance, and asked. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub(super) instance: u64,
    /// Of two that an instance has sent the later one has the larger number.
    pub(super) seq: u64,
    /// The run of the record, if there is none yet.
    pub(super) fresh: u64,
    /// The last that was heard.
    pub(super) basis: Option<Basis>,
    pub(super) mine: Mine,
    /// Nothing counts for longer than this.
    pub(super) hold: u64,
    /// Of the settings: the same number for the same ones.
    pub(super) digest: u64,
    /// What the window holds, and for how long.
    pub(super) parts: Vec<(u64, Tally)>,
}

/// How a fleet stands. Times are microseconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Closed,
    Open { left: u64 },
    Probing { left: u64, is_mine: bool },
}

/// What a fleet's store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// None, if there is no record and the asker made none.
    pub(super) stand: Option<(Basis, Stand)>,
    /// What all others have told, and for how long that counts.
    pub(super) others: Vec<(u64, Tally)>,
    /// Whether there is room for what the asker tells, if it tells anything.
    pub(super) is_heard: Option<bool>,
    /// How many of the others have other settings.
    pub(super) strangers: u64,
}

impl Answer {
    /// There is no record.
    pub(super) fn nothing() -> Self {
        Self { stand: None, others: Vec::new(), is_heard: None, strangers: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Closed,
    Open,
    Probing,
}

/// How the fleet stands, since which change, and until when.
#[derive(Clone, Copy, Debug)]
struct Record {
    basis: Basis,
    kind: Kind,
    until: u64,
    /// How long it was to be: a clock that was set back does not make it longer.
    span: u64,
    holder: u64,
}

/// What one instance has told.
#[derive(Clone, Debug)]
struct Told {
    seq: u64,
    /// Until when it is known who has told it, and for how long that was to be.
    keep: u64,
    hold: u64,
    digest: u64,
    /// Until when, and what.
    parts: Vec<(u64, Tally)>,
}

/// What a store keeps of a fleet, and all that it does with it: for stores in other places.
#[derive(Clone, Debug, Default)]
pub struct View {
    record: Option<Record>,
    told: BTreeMap<u64, Told>,
}

/// The answer sums up what others have told by how long it counts, in so many steps.
pub(super) const STEPS: u64 = 16;

impl View {
    /// Takes in what an instance says, and answers. `now` is the time of the store, in microseconds.
    pub fn exchange(&mut self, now: u64, ask: &Ask) -> Answer {
        if let Some(record) = &mut self.record {
            record.until = record.until.min(now.saturating_add(record.span));
        }
        if let Some(changed) = self.changed(now, ask) {
            self.record = Some(changed);
            self.told.clear();
        }
        // By the time to hold of who has told it, which need not be the asker's.
        self.told.retain(|_, told| told.keep > now && told.keep <= now.saturating_add(told.hold));
        let Some(record) = self.record else { return Answer::nothing() };
        let is_current = record.kind == Kind::Closed && ask.basis == Some(record.basis);
        let tells = is_current && matches!(ask.mine, Mine::Closed | Mine::Watching);
        let is_heard = tells.then(|| self.take(now, ask));
        let is_closed = record.kind == Kind::Closed;
        let others = if is_closed { self.others(now, ask) } else { Vec::new() };
        let left = record.until.saturating_sub(now);
        let stand = match record.kind {
            Kind::Closed => Stand::Closed,
            Kind::Open => Stand::Open { left },
            Kind::Probing => Stand::Probing { left, is_mine: record.holder == ask.instance },
        };
        let is_strange = |(instance, told): &(&u64, &Told)| {
            **instance != ask.instance && told.digest != ask.digest
        };
        let strangers = self.told.iter().filter(is_strange).count() as u64;
        Answer { stand: Some((record.basis, stand)), others, is_heard, strangers }
    }

    /// What becomes of the record, if it changes.
    fn changed(&self, now: u64, ask: &Ask) -> Option<Record> {
        let (kind, span) = match ask.mine {
            Mine::Watching => return None,
            Mine::Closed | Mine::Reset => (Kind::Closed, 0),
            Mine::Open { left } => (Kind::Open, left),
            Mine::Probing { lease, .. } => (Kind::Probing, lease),
        };
        let basis = match &self.record {
            None => Basis { run: ask.fresh, epoch: 1 },
            Some(record) if accepts(record, now, ask) => {
                Basis { epoch: record.basis.epoch + 1, ..record.basis }
            }
            Some(_) => return None,
        };
        let until = now.saturating_add(span);
        Some(Record { basis, kind, until, span, holder: ask.instance })
    }

    /// Says whether there is room for it.
    fn take(&mut self, now: u64, ask: &Ask) -> bool {
        let is_newer = self.told.get(&ask.instance).map(|told| told.seq < ask.seq);
        if is_newer.unwrap_or(self.told.len() < MAX_INSTANCES) {
            let until = |(left, tally): &(u64, Tally)| (now + (*left).min(ask.hold), *tally);
            let parts = ask.parts.iter().map(until).collect();
            let (hold, keep) = (ask.hold, now + ask.hold);
            let told = Told { seq: ask.seq, keep, hold, digest: ask.digest, parts };
            self.told.insert(ask.instance, told);
            return true;
        }
        is_newer.is_some()
    }

    fn others(&self, now: u64, ask: &Ask) -> Vec<(u64, Tally)> {
        let step = ask.hold.div_ceil(STEPS).max(1);
        let mut sums = BTreeMap::<u64, Tally>::new();
        for (_, told) in self.told.iter().filter(|(instance, _)| **instance != ask.instance) {
            for (until, tally) in told.parts.iter().filter(|(until, _)| *until > now) {
                let left = (until - now).min(ask.hold);
                let sum = sums.entry(left.div_ceil(step) * step).or_default();
                *sum = sum.plus(*tally);
            }
        }
        sums.into_iter().collect()
    }
}

/// Whether the fleet goes by what the asker says, rather than the asker by the record.
fn accepts(record: &Record, now: u64, ask: &Ask) -> bool {
    let is_mine = record.holder == ask.instance;
    let is_over = record.until <= now;
    if ask.basis != Some(record.basis) {
        // It knows nothing of this record, which may have been made by one that knew nothing at all.
        let is_strange = ask.basis.is_none_or(|basis| basis.run != record.basis.run);
        let is_open = matches!(ask.mine, Mine::Open { left } if left > 0);
        return is_strange && is_open && record.kind == Kind::Closed;
    }
    match (record.kind, ask.mine) {
        (Kind::Closed, Mine::Open { .. }) | (Kind::Open | Kind::Probing, Mine::Reset) => true,
        // It has probed while it could not ask.
        (Kind::Open, Mine::Closed | Mine::Probing { .. }) => is_over,
        (Kind::Open, Mine::Open { left }) => is_over && left > 0,
        (Kind::Probing, Mine::Closed) => is_mine,
        (Kind::Probing, Mine::Open { left }) => is_mine && left > 0,
        (Kind::Probing, Mine::Probing { asks, .. }) => is_over && (asks || !is_mine),
        _ => false,
    }
}
