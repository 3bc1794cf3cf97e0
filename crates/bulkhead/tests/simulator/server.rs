//! A server of some workers, with a line before them.

use super::{dice::Dice, scenarios::Scenario};
use std::collections::VecDeque;

/// What is to be worked on.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) call: usize,
    /// It takes next to no time.
    pub(super) is_check: bool,
}

/// Works on what it is sent in turn, also on what nobody waits for any more: it does not know.
pub(super) struct Server {
    busy: u32,
    line: VecDeque<Job>,
    dice: Dice,
}

/// How long a health check takes.
const CHECK: u64 = 1_000_000;

impl Server {
    pub(super) fn new(seed: u64) -> Self {
        Self { busy: 0, line: VecDeque::new(), dice: Dice::new(seed) }
    }

    pub(super) fn join(&mut self, job: Job) {
        self.line.push_back(job);
    }

    pub(super) fn done(&mut self) {
        self.busy -= 1;
    }

    /// The next job that a worker is free for, and how long it takes: half of the mean at least.
    pub(super) fn start(&mut self, now: u64, scenario: &Scenario) -> Option<(Job, u64)> {
        if self.busy >= (scenario.workers)(now) {
            return None;
        }
        let job = self.line.pop_front()?;
        self.busy += 1;
        let half = (scenario.service)(now) / 2;
        let takes = if job.is_check { CHECK } else { half + self.dice.exponential(half) };
        Some((job, takes))
    }
}
