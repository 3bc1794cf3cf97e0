//! Planned failures of system calls, for tests.

use rustix::io::Errno;
use tidegate_core::sync::{Arc, Mutex};

use super::{Call, Sys};
use crate::state::lock;

#[derive(Debug)]
struct Rule {
    call: Call,
    /// Only calls that name this; empty names every call.
    name: Vec<u8>,
    /// Matching calls to let through first.
    skip: usize,
    /// Matching calls to fail after those.
    times: usize,
    errno: Errno,
    hits: usize,
}

/// Which calls fail, and how often they did.
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<Vec<Rule>>);

impl Plan {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Fails `times` calls after `skip` of them; `name` narrows the rule when it is not empty.
    pub(crate) fn fail(
        self,
        call: Call,
        name: &str,
        skip: usize,
        times: usize,
        errno: Errno,
    ) -> Self {
        let name = name.as_bytes().to_vec();
        lock(&self.0).push(Rule { call, name, skip, times, errno, hits: 0 });
        self
    }

    pub(crate) fn into_sys(self) -> (Sys, Arc<Self>) {
        let plan = Arc::new(self);
        (Sys { faults: Some(Arc::clone(&plan)) }, plan)
    }

    /// Failures handed out so far.
    pub(crate) fn hits(&self) -> usize {
        lock(&self.0).iter().map(|rule| rule.hits).sum()
    }

    pub(crate) fn check(&self, call: Call, name: &[u8]) -> Result<(), Errno> {
        for rule in lock(&self.0).iter_mut() {
            if rule.call != call || !(rule.name.is_empty() || rule.name == name) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                rule.hits += 1;
                return Err(rule.errno);
            }
        }
        Ok(())
    }
}
