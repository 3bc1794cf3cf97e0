//! A snapshot for people.

use super::{ResourceInfo, Snapshot, Wait, Work, WorkState, work::Doing};
use crate::{Budget, WorkKind};
use std::{
    fmt::{Display, Formatter, Result, Write},
    panic::Location,
    time::Duration,
};

/// How many holders of a resource a line names: it shall not fill the screen.
const HOLDERS_MAX: usize = 8;

/// A tree with a line for each piece of work, then the resources and what is deadlocked.
impl Display for Snapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let lasts = self.last_children();
        let mut open = Vec::new();
        for (work, is_last) in self.work().iter().zip(lasts) {
            open.truncate(work.depth().saturating_sub(1));
            if work.depth() == 0 {
                write!(f, "/{work}")?;
            } else {
                open.iter()
                    .try_for_each(|goes_on| f.write_str(if *goes_on { "│  " } else { "   " }))?;
                write!(f, "{} {work}", if is_last { "└─" } else { "├─" })?;
                open.push(!is_last);
            }
            f.write_char('\n')?;
        }
        for resource in self.resources() {
            self.line_of(resource, f)?;
        }
        self.deadlocks().iter().try_for_each(|deadlock| writeln!(f, "{deadlock}"))
    }
}

impl Snapshot {
    /// Of each work, whether it is the last one that is right below its parent.
    fn last_children(&self) -> Vec<bool> {
        let mut last = vec![None; self.work().len()];
        for (index, work) in self.work().iter().enumerate() {
            if let Some(parent) = work.parent() {
                last[parent] = Some(index);
            }
        }
        let mut is_last = vec![false; last.len()];
        last.into_iter().flatten().for_each(|index| is_last[index] = true);
        is_last
    }

    fn line_of(&self, resource: &ResourceInfo, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {}", resource.kind(), resource.name())?;
        if let Some(owner) = resource.owner() {
            write!(f, " of {}", self.path(owner))?;
        }
        for (name, value) in resource.details() {
            write!(f, ", {name} {value}")?;
        }
        let holders = resource.holders();
        for (n, holder) in holders.iter().take(HOLDERS_MAX).enumerate() {
            let before = if n == 0 { ", held by" } else { "," };
            match holder {
                Some(holder) => write!(f, "{before} {}", self.path(*holder))?,
                None => write!(f, "{before} (unknown)")?,
            }
        }
        if holders.len() > HOLDERS_MAX {
            write!(f, " and {} more", holders.len() - HOLDERS_MAX)?;
        }
        writeln!(f, " ({})", Place(resource.location()))
    }
}

/// One line without its end, as in a [`Snapshot`].
impl Display for Work {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kind = match self.kind() {
            WorkKind::Task => "task",
            WorkKind::Blocking => "blocking",
            WorkKind::Scope => "scope",
        };
        write!(f, "{}: {kind} {}", self.name(), self.doing())?;
        if let Some(live) = self.live() {
            write!(f, ", {live} live")?;
        }
        if let Some(age) = self.age() {
            write!(f, ", {} old", Rough(age))?;
        }
        if self.polls() > 0 {
            write!(f, ", {} polls", self.polls())?;
            if !self.busy().is_zero() {
                write!(f, " in {}", Rough(self.busy()))?;
            }
        }
        if let (Some(last), false) = (self.last_poll(), self.state() == WorkState::Running) {
            write!(f, ", the last {} ago", Rough(last))?;
        }
        if let Some(left) = self.remaining().and_then(Budget::duration) {
            write!(f, ", {} left", Rough(left))?;
        }
        match (self.cause(), self.stop_cause()) {
            (Some(cause), _) => write!(f, ", cancelled: {cause}")?,
            (None, Some(cause)) => write!(f, ", stopping: {cause}")?,
            (None, None) => {}
        }
        write!(f, " ({})", Place(self.location()))
    }
}

/// What it does, and for how long.
impl Display for Doing {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match (self.state, self.waits.is_empty()) {
            (WorkState::Waiting, false) => {}
            (state, _) => write!(f, "{state}")?,
        }
        if let Some(time) = self.running_for {
            write!(f, " for {}", Rough(time))?;
        }
        for (n, wait) in self.waits.iter().enumerate() {
            let is_first = n == 0 && self.state == WorkState::Waiting;
            write!(f, "{}{wait}", if is_first { "" } else { ", " })?;
        }
        if self.is_aborting { f.write_str(", abort requested") } else { Ok(()) }
    }
}

impl Display for Wait {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.work {
            Some(_) => write!(f, "waiting for the work spawned at {}", Place(self.location()))?,
            None => write!(f, "waiting for \"{}\" at {}", self.label(), Place(self.location()))?,
        }
        match self.lasts() {
            Some(time) => write!(f, " for {}", Rough(time)),
            None => Ok(()),
        }
    }
}

/// A place in the source, as `file:line`.
pub(super) struct Place(pub(super) &'static Location<'static>);

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

/// A time that is known to some 20 ms.
pub(crate) struct Rough(pub(crate) Duration);

impl Display for Rough {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let secs = self.0.as_secs();
        match (secs / 86400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
            (0, 0, 0, 0) => write!(f, "{} ms", self.0.as_millis()),
            (0, 0, 0, secs) if secs < 10 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            (0, 0, 0, secs) => write!(f, "{secs} s"),
            (0, 0, minutes, secs) => write!(f, "{minutes} min {secs} s"),
            (0, hours, minutes, _) => write!(f, "{hours} h {minutes} min"),
            (days, hours, ..) => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_rough_as_they_are_long() {
        let text = |millis| Rough(Duration::from_millis(millis)).to_string();
        let texts = [980, 4_240, 59_999, 61_000, 3_661_000, 90_000_000].map(text);
        assert_eq!(texts, ["980 ms", "4.2 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
