//! Where nothing tells who descends from a process: there are no descendants to be found.

use super::output::Leftover;
use rustix::process::{Pid, Signal};
use std::{convert::Infallible, ffi::OsString, time::Duration};

#[derive(Clone, Debug)]
pub(super) struct Marker(Infallible);

impl Marker {
    pub(super) fn new() -> Option<Self> {
        None
    }

    pub(super) fn name(&self) -> OsString {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(super) struct Hunt(Infallible);

impl Hunt {
    pub(super) fn new(_: Pid, _: Option<Marker>) -> Option<Self> {
        None
    }

    pub(super) fn group(&mut self) -> Vec<Leftover> {
        match self.0 {}
    }

    pub(super) fn strangers(&mut self, _: bool) -> Strangers {
        match self.0 {}
    }
}

#[derive(Debug, Default)]
pub(super) struct Strangers(());

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) who: Vec<Leftover>,
}

impl Strangers {
    #[expect(clippy::unused_self, reason = "there is nobody in it")]
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "there is nobody in it")]
    pub(super) fn signal(self, _: &[Signal]) -> Found {
        Found::default()
    }
}

impl Found {
    #[expect(clippy::unused_self, reason = "there is nobody to wait for")]
    pub(super) fn wait(&self, _: Duration) -> bool {
        false
    }
}
