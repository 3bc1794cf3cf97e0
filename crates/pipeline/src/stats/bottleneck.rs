//! Which stage limits the throughput, and why one can say so.
//!
//! By the utilisation law a stage with `c` slots that is busy for a share `u` of the time
//! can at most become `1/u` times faster before it is the limit: the stage with the largest
//! share is the first to get there.

use super::{StageKind, StageStats};
use std::time::Duration;

/// Shares of the time of all slots of a stage, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    pub(super) busy: f64,
    pub(super) starved: f64,
    pub(super) blocked: f64,
}

impl Shares {
    pub(super) fn of(stage: &StageStats, elapsed: Duration) -> Self {
        let slots = u32::try_from(stage.concurrency).unwrap_or(u32::MAX);
        let whole = elapsed.as_secs_f64() * f64::from(slots);
        let share = |part: Duration| {
            if whole > 0.0 { (part.as_secs_f64() / whole).min(1.0) } else { 0.0 }
        };
        Self {
            busy: share(stage.busy),
            starved: share(stage.starved),
            blocked: share(stage.blocked),
        }
    }

    /// How near the stage is to its limit. A source that waits for its stream cannot give
    /// more, whatever the stream does meanwhile.
    pub(super) fn load(self, kind: StageKind) -> f64 {
        if kind == StageKind::Source { self.busy + self.starved } else { self.busy }
    }
}

pub(super) fn find(stages: &[StageStats], elapsed: Duration) -> Option<&StageStats> {
    stages
        .iter()
        .map(|stage| (Shares::of(stage, elapsed).load(stage.kind), stage))
        .filter(|(load, _)| *load > 0.0)
        .fold(None, |most: Option<(f64, &StageStats)>, next| match most {
            Some(most) if most.0 >= next.0 => Some(most),
            _ => Some(next),
        })
        .map(|(_, stage)| stage)
}

/// Why the bottleneck is one, and what would help, as half a sentence.
pub(super) fn advice(stage: &StageStats, shares: Shares) -> String {
    let percent = shares.load(stage.kind) * 100.0;
    match stage.kind {
        StageKind::Source if shares.starved > shares.busy => {
            format!("the stages wait for its stream {percent:.0} % of the time")
        }
        StageKind::Source => format!("busy {percent:.0} % of the time; it is one task"),
        StageKind::Sink => format!("busy {percent:.0} % of the time; it takes items one by one"),
        StageKind::Map | StageKind::MapBlocking if percent >= 80.0 => format!(
            "its {} slots are busy {percent:.0} % of the time; more help if cores are idle",
            stage.concurrency
        ),
        StageKind::MapAsync if percent >= 80.0 => format!(
            "its {} slots are busy {percent:.0} % of the time; more would help if what they wait for allows it",
            stage.concurrency
        ),
        _ => format!("but busy only {percent:.0} % of the time: no single stage is the limit"),
    }
}
