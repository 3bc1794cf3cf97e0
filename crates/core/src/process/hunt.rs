//! Finds and signals the descendants of a process, wherever they went: Linux only.
//!
//! A descendant that has left the process group is still a child of a child, or in a session that
//! one of them leads; if it was given to init, the environment that it was started with has
//! a variable with a name that no other process has.

use super::{
    kin::{Stat, descendants},
    output::Leftover,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal},
};
use std::{
    collections::{HashSet, hash_map::RandomState},
    ffi::OsString,
    fs::{self, File},
    hash::BuildHasher as _,
    io::{self, Read as _},
    os::fd::OwnedFd,
    time::Duration,
};

/// How much of an environment is looked at: what an `exec` takes at most.
const MAX_ENVIRONMENT: u64 = 6 << 20;

/// How many of those that are signalled in one go are told, and held by a descriptor.
const MAX_KEPT: usize = 64;

/// The name of an environment variable that no other process tree has.
#[derive(Clone, Debug)]
pub(super) struct Marker(String);

impl Marker {
    /// None, where there is no way to find it.
    #[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
    pub(super) fn new() -> Option<Self> {
        // Seeded by the system; two of them are as good as random.
        let random = || RandomState::new().hash_one(getpid().as_raw_nonzero());
        Some(Self(format!("TIDEGATE_TREE_{:016x}{:016x}", random(), random())))
    }

    pub(super) fn name(&self) -> OsString {
        self.0.clone().into()
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        let is_it = |entry: &[u8]| {
            entry.strip_prefix(self.0.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        };
        environment.split(|&byte| byte == 0).any(is_it)
    }
}

/// The descendants of one process.
#[derive(Debug)]
pub(super) struct Hunt {
    root: (i32, u64),
    marker: Option<Marker>,
    /// Who was found last, each with its begin: nothing may connect it any more, when its parent
    /// is gone.
    known: HashSet<(i32, u64)>,
}

/// Descendants as they were seen a moment ago.
#[derive(Debug, Default)]
pub(super) struct Strangers(Vec<Stat>);

/// The first of those that were signalled; each descriptor is readable when its process has ended.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) who: Vec<Leftover>,
    signalled: Vec<OwnedFd>,
}

impl Hunt {
    /// None, if `/proc` is not there, or is that of another namespace: its numbers would be those
    /// of strangers.
    pub(super) fn new(root: Pid, marker: Option<Marker>) -> Option<Self> {
        let pid = root.as_raw_nonzero().get();
        let stat = stat(pid).ok()?;
        (stat.pid == pid && stat.parent == getpid().as_raw_nonzero().get()).then(|| Self {
            root: (pid, stat.began),
            marker,
            known: HashSet::new(),
        })
    }

    /// Which live now: without a marker, those that did not leave the group.
    fn find(&mut self) -> Vec<Stat> {
        let mut all = all();
        let own = getpid().as_raw_nonzero().get();
        let mut is_marked = |stat: &Stat| {
            self.known.contains(&(stat.pid, stat.began))
                || self.marker.as_ref().is_some_and(|mark| mark.is_in(&environment(stat.pid)))
        };
        if self.marker.is_none() {
            all.retain(|stat| stat.group == self.root.0);
        }
        let mut found = descendants(&all, self.root, own, &mut is_marked);
        found.sort_unstable();
        let is_found = |n: usize| found.binary_search(&n).is_ok();
        let found = all.into_iter().enumerate().filter(|(n, _)| is_found(*n)).map(|(_, stat)| stat);
        let found: Vec<_> = found.collect();
        self.known = found.iter().map(|stat| (stat.pid, stat.began)).collect();
        found
    }

    /// Who of the group lives; nobody is signalled.
    pub(super) fn group(&mut self) -> Vec<Leftover> {
        let group = self.root.0;
        let found = self.find().into_iter().filter(|stat| stat.group == group);
        found.take(MAX_KEPT).map(leftover).collect()
    }

    /// All that live now; with those in the group of the root, or without.
    pub(super) fn strangers(&mut self, group_too: bool) -> Strangers {
        let group = self.root.0;
        let found = self.find().into_iter();
        Strangers(found.filter(|stat| group_too || stat.group != group).collect())
    }
}

impl Strangers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn signal(self, signals: &[Signal]) -> Found {
        let mut found = Found::default();
        for stat in self.0 {
            let fd = signal(&stat, signals);
            if found.who.len() < MAX_KEPT {
                found.signalled.extend(fd);
                found.who.push(leftover(stat));
            }
        }
        found
    }
}

impl Found {
    /// Blocks until one of the signalled has ended, or for so long. False, if nothing ended.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let mut fds: Vec<_> =
            self.signalled.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let limit = Timespec::try_from(limit).ok();
        poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

fn leftover(stat: Stat) -> Leftover {
    Leftover { pid: stat.pid.unsigned_abs(), name: stat.name }
}

/// Signals a process that was seen a moment ago. Its number may be another one's by now, so it is
/// looked at again when a descriptor holds on to it.
fn signal(seen: &Stat, signals: &[Signal]) -> Option<OwnedFd> {
    let pid = Pid::from_raw(seen.pid).filter(|pid| !pid.is_init())?;
    let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let is_it = stat(seen.pid).is_ok_and(|now| now.began == seen.began && !now.is_dead);
    if !is_it {
        return None;
    }
    for &signal in signals {
        pidfd_send_signal(&fd, signal).ok()?;
    }
    Some(fd)
}

fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    Stat::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| stat(pid).ok()).collect()
}

/// Empty, if it may not be seen.
fn environment(pid: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
        // What was read before an error is looked at all the same.
        let _ = file.take(MAX_ENVIRONMENT).read_to_end(&mut bytes);
    }
    bytes
}
