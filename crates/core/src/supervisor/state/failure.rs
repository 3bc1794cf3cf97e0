//! What follows when a child has ended that was not asked to.

use super::{
    super::{AutoShutdown, EventKind, Exit, Limit, Restart, StopReason, Strategy},
    Machine, Outcome, after,
    child::{Child, Doom, Next, State},
};
use std::ops::Range;
use tokio::time::Instant;

impl Machine {
    pub(super) fn ended_by_itself(&mut self, index: usize, exit: Exit, now: Instant) {
        let restarts = match self.children[index].kid.restart {
            Restart::Permanent => true,
            Restart::Transient => exit.is_failure(),
            Restart::Temporary => false,
        };
        if self.ending.is_some() {
            self.enter(index, State::Down { by_hand: false }, now);
        } else if restarts {
            self.restart_after(index, exit, now);
        } else {
            self.leave(index, exit, now);
        }
    }

    /// A child has ended for good, by itself.
    fn leave(&mut self, index: usize, exit: Exit, now: Instant) {
        let (id, kid) = (self.children[index].id, self.children[index].kid.clone());
        if kid.restart == Restart::Temporary {
            self.remove(index, now);
        } else {
            self.enter(index, State::Down { by_hand: false }, now);
        }
        let lives_on = |child: &Child| {
            child.id != id && child.kid.significant && (child.is_alive() || child.is_coming())
        };
        let ends = match self.rules.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => kid.significant,
            AutoShutdown::AllSignificant => kid.significant && !self.children.iter().any(lives_on),
        };
        if ends {
            self.end(Outcome::Significant(kid.name, exit), now);
        }
    }

    fn restart_after(&mut self, index: usize, exit: Exit, now: Instant) {
        let period = self.rules.period;
        let up = self.children[index].up;
        if up.is_some_and(|up| now.saturating_duration_since(up) >= period) {
            self.backoff(index).reset();
        }
        while self.failures.front().is_some_and(|at| now.saturating_duration_since(*at) >= period) {
            self.failures.pop_front();
        }
        if self.failures.len() >= usize::try_from(self.rules.intensity).unwrap_or(usize::MAX) {
            return self.give_up(index, exit, Limit::Intensity, now);
        }
        let Some(delay) = self.backoff(index).next() else {
            return self.give_up(index, exit, Limit::Backoff, now);
        };
        self.failures.push_back(now);
        let mut at = after(now, delay);
        let group = match self.rules.strategy {
            Strategy::OneForOne => index..index + 1,
            Strategy::OneForAll => {
                // They come back together, so no earlier than any of them may.
                at = at.max(self.last_delay().unwrap_or(at));
                0..self.children.len()
            }
            Strategy::RestForOne => index..self.children.len(),
        };
        let alone = self.rules.strategy == Strategy::OneForOne;
        let reason = StopReason::Sibling { child: self.children[index].kid.name.clone(), exit };
        let others = self.doom(group, index, at, &reason, now);
        self.enter(index, State::Backoff { until: at, alone }, now);
        self.tell(
            index,
            EventKind::Restarting { after: at.saturating_duration_since(now), others },
            now,
        );
    }

    fn give_up(&mut self, index: usize, exit: Exit, limit: Limit, now: Instant) {
        let name = self.children[index].kid.name.clone();
        self.enter(index, State::Down { by_hand: false }, now);
        self.tell(index, EventKind::GaveUp(limit), now);
        self.end(Outcome::GaveUp(name, exit, limit), now);
    }

    /// When the last child that waits for its delay is to be started.
    fn last_delay(&self) -> Option<Instant> {
        let delays = self.children.iter().filter_map(|child| match &child.state {
            State::Backoff { until, .. } => Some(*until),
            State::Stopping { next: Next::Start { at, .. }, .. } => Some(*at),
            _ => None,
        });
        delays.max()
    }

    /// Has the others of a group started again with one that has failed, no earlier than `at`.
    /// Returns how many of them are.
    fn doom(
        &mut self,
        group: Range<usize>,
        failed: usize,
        at: Instant,
        reason: &StopReason,
        now: Instant,
    ) -> usize {
        let mut others = 0;
        for index in group.filter(|index| *index != failed) {
            let child = &mut self.children[index];
            let is_temporary = child.kid.restart == Restart::Temporary;
            let with_the_others = |next: &Next| match next {
                Next::Start { at: own, .. } => Next::Start { at: at.max(*own), alone: false },
                Next::Fail(_) if is_temporary => Next::Remove,
                Next::Fail(_) => Next::Start { at, alone: false },
                Next::Down { .. } | Next::Remove => next.clone(),
            };
            let starts = match &mut child.state {
                State::Down { by_hand: true } => false,
                State::Starting { .. } | State::Up => {
                    let start = Next::Start { at, alone: false };
                    let next = match &child.doom {
                        Some(doom) => with_the_others(&doom.next),
                        None if is_temporary => Next::Remove,
                        None => start,
                    };
                    let starts = next.is_start();
                    child.doom = Some(Doom { next, reason: reason.clone() });
                    starts
                }
                State::Stopping { next, group, .. } => {
                    *next = with_the_others(next);
                    *group = true;
                    next.is_start()
                }
                State::Backoff { until, .. } => {
                    let until = at.max(*until);
                    self.enter(index, State::Backoff { until, alone: false }, now);
                    true
                }
                // One that is temporary was started by hand, and has not lived yet.
                State::Queued { .. } | State::Down { by_hand: false } => {
                    self.enter(index, State::Backoff { until: at, alone: false }, now);
                    true
                }
            };
            others += usize::from(starts);
        }
        others
    }
}
