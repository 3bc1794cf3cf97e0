//! What is asked for from outside while the supervisor runs.

use super::{
    super::{ConfigError, ControlError, EventKind, Restart, StopReason},
    ChildId, Kid, Machine,
    child::{Next, State},
};
use crate::Name;
use tokio::time::Instant;

impl Machine {
    /// Adds a child after all others; it is started at once, or when those that it comes after
    /// are up.
    pub(in crate::supervisor) fn add(
        &mut self,
        kid: Kid,
        now: Instant,
    ) -> Result<ChildId, ControlError> {
        if self.is_ending() {
            return Err(ControlError::NotRunning);
        }
        self.rules.check(&kid)?;
        if self.find(kid.name.as_str()).is_some() {
            return Err(ConfigError::Duplicate(kid.name).into());
        }
        if let Some(after) = kid.after.iter().find(|name| self.find(name.as_str()).is_none()) {
            let (child, after) = (kid.name.clone(), after.clone());
            return Err(ConfigError::UnknownAfter { child, after }.into());
        }
        if self.children.len() >= self.rules.max_children {
            return Err(ConfigError::TooMany { max: self.rules.max_children }.into());
        }
        let id = self.push(kid, true, now);
        self.tell(self.children.len() - 1, EventKind::Added, now);
        self.settle(now);
        Ok(id)
    }

    fn named(&self, name: &str) -> Result<usize, ControlError> {
        if self.is_ending() {
            return Err(ControlError::NotRunning);
        }
        self.find(name).ok_or_else(|| ControlError::Unknown(name.to_owned()))
    }

    /// Has a child end, and not started again by anything but [`restart`](Self::restart).
    pub(in crate::supervisor) fn terminate(
        &mut self,
        name: &str,
        now: Instant,
    ) -> Result<ChildId, ControlError> {
        let index = self.named(name)?;
        let child = &mut self.children[index];
        let id = child.id;
        let is_temporary = child.kid.restart == Restart::Temporary;
        let then = if is_temporary { Next::Remove } else { Next::Down { by_hand: true } };
        match &mut child.state {
            State::Starting { .. } | State::Up => {
                let group = child.doom.take().is_some();
                self.ask(index, then, group, StopReason::ByHand, now);
            }
            State::Stopping { next, .. } => *next = then,
            State::Down { by_hand: true } => {}
            State::Queued { .. } | State::Backoff { .. } | State::Down { .. } => {
                self.go_on(index, then, now);
            }
        }
        self.settle(now);
        Ok(id)
    }

    /// Has a child started again, or started that is not alive. Its delays begin anew, and it
    /// does not count as a failure. Returns the last life before that.
    pub(in crate::supervisor) fn restart(
        &mut self,
        name: &str,
        now: Instant,
    ) -> Result<(ChildId, u64), ControlError> {
        let index = self.named(name)?;
        self.backoff(index).reset();
        let child = &mut self.children[index];
        let (id, incarnation) = (child.id, child.incarnation);
        let then = Next::Start { at: now, alone: true };
        match (&mut child.state, &mut child.doom) {
            // A group that is being stopped comes back together; what was not to, does now.
            (State::Starting { .. } | State::Up, Some(doom)) => {
                if doom.next == Next::Remove {
                    doom.next = then;
                }
            }
            (State::Starting { .. } | State::Up, None) => {
                self.ask(index, then, false, StopReason::ByHand, now);
            }
            (State::Stopping { group: true, next: Next::Start { .. }, .. }, _) => {}
            (State::Stopping { next, .. }, _) => *next = then,
            (State::Queued { alone }, _) => *alone = true,
            (State::Backoff { .. } | State::Down { .. }, _) => {
                self.enter(index, State::Queued { alone: true }, now);
            }
        }
        self.settle(now);
        Ok((id, incarnation))
    }

    /// Forgets a child that has ended for good.
    pub(in crate::supervisor) fn delete(
        &mut self,
        name: &str,
        now: Instant,
    ) -> Result<(), ControlError> {
        let index = self.named(name)?;
        let (id, child) = (self.children[index].id, self.children[index].kid.name.clone());
        let later = self.children.iter().find(|later| later.after.contains(&id));
        let later: Option<Name> = later.map(|later| later.kid.name.clone());
        if !matches!(self.children[index].state, State::Down { .. }) {
            return Err(ControlError::NotEnded(child));
        }
        if let Some(later) = later {
            return Err(ControlError::Needed { child: later, after: child });
        }
        self.remove(index, now);
        self.settle(now);
        Ok(())
    }
}
