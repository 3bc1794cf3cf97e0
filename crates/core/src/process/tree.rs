//! A process and all that it started: signals it, and leaves nothing of it when dropped.

use super::{
    StopSignal,
    builder::Tree,
    hunt::{Found, Hunt, Marker, Strangers},
    output::Leftover,
};
use crate::sync::thread;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, Signal, WaitId, WaitIdOptions, getpgid, getpid, kill_process, kill_process_group,
        test_kill_process_group, waitid,
    },
};
use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, ExitStatus},
    sync::Arc,
    time::Duration,
};

/// How often descendants are looked for that were started while others were killed.
const MAX_ROUNDS: usize = 32;

/// How long a destructor waits for a killed process to die, in steps.
const DEATH_STEP: Duration = Duration::from_millis(50);
const DEATH_STEPS: usize = 20;

/// A process group that may be signalled. Group 0 is the caller's own, and group 1 stands for
/// every process there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group(Pid);

impl Group {
    fn led_by(pid: Pid) -> Option<Self> {
        (!pid.is_init() && pid != getpid()).then_some(Self(pid))
    }
}

/// What is known of a child without reaping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    Running,
    /// A zombie: its number is its own until it is reaped.
    Ended,
    /// Somebody else has reaped it: its number may be anybody's.
    Lost,
}

/// Looks at a child of this process.
pub(super) fn look(pid: Pid) -> Alive {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(pid), options) {
        Ok(None) | Err(rustix::io::Errno::INTR) => Alive::Running,
        Ok(Some(_)) => Alive::Ended,
        Err(_) => Alive::Lost,
    }
}

/// A child with its descendants. Until it is reaped, its number and that of its group cannot be
/// given to others, and nothing is signalled after that.
#[derive(Debug)]
pub(super) struct Family {
    /// None, when it was reaped or given away.
    child: Option<Child>,
    pid: Pid,
    tree: Tree,
    /// Readable when the child has ended.
    pidfd: Option<Arc<OwnedFd>>,
    hunt: Option<Hunt>,
}

impl Family {
    pub(super) fn new(child: Child, tree: Tree) -> Self {
        let pid = Pid::from_child(&child);
        Self { child: Some(child), pid, tree, pidfd: open_pidfd(pid), hunt: None }
    }

    /// Gets ready to find descendants; false, if that is impossible.
    pub(super) fn mark(&mut self, marker: Option<Marker>) -> bool {
        self.hunt = Hunt::new(self.pid, marker);
        self.hunt.is_some()
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// The same as a plain number.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn pidfd(&self) -> Option<Arc<OwnedFd>> {
        self.pidfd.clone()
    }

    pub(super) fn child_mut(&mut self) -> Option<&mut Child> {
        self.child.as_mut()
    }

    /// Whether its number is its own.
    fn is_ours(&self) -> bool {
        self.child.is_some() && look(self.pid) != Alive::Lost
    }

    /// Asks all to end. What is suspended is woken up after that, to hear it.
    pub(super) fn stop(&mut self, signal: StopSignal) {
        if !self.is_ours() {
            return;
        }
        let signals = [signal.number(), Signal::CONT];
        // Found before: those that have left may have nothing but their parents to be found by.
        let strangers = self.find(false);
        self.signal_family(&signals, false);
        strangers.signal(&signals);
    }

    /// Kills all that is found. Who was found of the descendants; what those start meanwhile is
    /// found the next time.
    pub(super) fn kill(&mut self) -> Vec<Leftover> {
        self.kill_found().who
    }

    fn kill_found(&mut self) -> Found {
        if !self.is_ours() {
            return Found::default();
        }
        let mut strangers = self.find(true);
        self.signal_family(&[Signal::KILL], true);
        if strangers.is_empty() {
            // One that was in the group may have started another, and that have left it, since.
            strangers = self.find(true);
        }
        strangers.signal(&[Signal::KILL])
    }

    /// Descendants, if the tree is more than a group; with those in the group, or without.
    fn find(&mut self, group_too: bool) -> Strangers {
        match (self.tree, &mut self.hunt) {
            (Tree::Descendants, Some(hunt)) => hunt.strangers(group_too),
            _ => Strangers::default(),
        }
    }

    /// Signals the group, and the child itself if it is not in it.
    fn signal_family(&self, signals: &[Signal], is_kill: bool) {
        let group = self.led_group();
        let is_in = group.is_some() && getpgid(Some(self.pid)).is_ok_and(|group| group == self.pid);
        for &signal in signals {
            // Whoever has ended meanwhile need not be told.
            if let Some(Group(group)) = group {
                let _ = kill_process_group(group, signal);
            }
            // A second SIGINT makes many programs end at once.
            if (is_kill || !is_in) && !self.pid.is_init() {
                let _ = kill_process(self.pid, signal);
            }
        }
    }

    /// Who is left of the group, as far as the system tells; nobody is signalled, so it may be asked
    /// after the child was reaped.
    pub(super) fn group(&mut self) -> Vec<Leftover> {
        match (self.led_group(), &mut self.hunt) {
            // Zombies are there, too: those are none of ours, and `/proc` tells.
            (Some(Group(group)), Some(hunt)) if test_kill_process_group(group).is_ok() => {
                hunt.group()
            }
            _ => Vec::new(),
        }
    }

    fn led_group(&self) -> Option<Group> {
        if self.tree.has_group() { Group::led_by(self.pid) } else { None }
    }

    /// Collects the exit status of a child that has ended.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        let lost = || io::Error::from(rustix::io::Errno::CHILD);
        let child = self.child.as_mut().ok_or_else(lost)?;
        let status = child.try_wait()?.ok_or(io::ErrorKind::WouldBlock)?;
        self.child = None;
        Ok(status)
    }

    /// Gives a child that does not die to a thread that waits for it.
    pub(super) fn abandon(&mut self) {
        if let Some(mut child) = self.child.take() {
            let reaper = thread::Builder::new().name("tidegate-reaper".into());
            // Without a thread it stays a zombie, when it dies, until this program ends.
            let _ = reaper.spawn(move || child.wait());
        }
    }

    /// The same as [`kill`](Self::kill), until nothing is found any more.
    fn kill_all(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let found = self.kill_found();
            if found.who.is_empty() || !found.wait(DEATH_STEP) {
                return;
            }
        }
    }
}

/// Without a runtime: whatever dropped it, nothing of it lives on and nothing is left to reap.
impl Drop for Family {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.kill_all();
        for _ in 0..DEATH_STEPS {
            if !self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
                self.child = None;
                break;
            }
            // Without a descriptor there is nothing to hear from: it is looked at often.
            let step = if self.pidfd.is_some() { DEATH_STEP } else { DEATH_STEP / 10 };
            pause(self.pidfd.as_deref(), step);
        }
        self.abandon();
        for _ in 0..DEATH_STEP.as_millis() {
            if self.group().is_empty() {
                return;
            }
            pause(None, Duration::from_millis(1));
        }
    }
}

/// Blocks until the process has ended, or for so long.
fn pause(pidfd: Option<&OwnedFd>, limit: Duration) {
    let mut fds: Vec<_> = pidfd.map(|fd| PollFd::new(fd, PollFlags::IN)).into_iter().collect();
    let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
}

#[cfg(target_os = "linux")]
fn open_pidfd(pid: Pid) -> Option<Arc<OwnedFd>> {
    use rustix::process::{PidfdFlags, pidfd_open};
    pidfd_open(pid, PidfdFlags::empty()).ok().map(Arc::new)
}

#[cfg(not(target_os = "linux"))]
fn open_pidfd(_pid: Pid) -> Option<Arc<OwnedFd>> {
    None
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    /// `kill(0)` and `kill(-0)` hit this process and its group, `kill(-1)` everybody.
    #[test]
    fn openab_270_no_group_of_0_of_1_or_of_this_process() {
        assert_eq!(Pid::from_raw(0), None, "the type has no 0");
        assert_eq!(Group::led_by(Pid::INIT), None);
        assert_eq!(Group::led_by(getpid()), None);
        let other = Pid::from_raw(2).unwrap();
        assert_eq!(Group::led_by(other), Some(Group(other)));
    }

    #[test]
    fn a_process_that_is_no_child_is_lost() {
        assert_eq!(look(Pid::INIT), Alive::Lost);
        assert_eq!(look(getpid()), Alive::Lost);
    }

    /// With a descriptor to wait by, and without.
    #[test]
    #[cfg_attr(miri, ignore = "it starts a process")]
    fn a_dropped_family_is_dead_and_reaped() {
        for has_descriptor in [true, false] {
            let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            let mut family = Family::new(child, Tree::Child);
            if !has_descriptor {
                family.pidfd = None;
            }
            let pid = family.pid();
            assert_eq!(look(pid), Alive::Running);
            drop(family);
            assert_eq!(look(pid), Alive::Lost, "reaped");
        }
    }
}
