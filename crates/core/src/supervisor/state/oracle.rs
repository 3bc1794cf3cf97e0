//! The rules of the module's tables a second time, as naively as can be: each child is a heap of
//! flags with a wish for what is to become of it, all lists are searched, and time is a number.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::struct_excessive_bools, reason = "flags are what it is about")]

use super::super::{AutoShutdown, Restart, Strategy};

#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) strategy: Strategy,
    pub(super) auto: AutoShutdown,
    pub(super) intensity: usize,
    pub(super) period: u64,
    pub(super) max: usize,
    /// How many delays there are; each is twice the one before.
    pub(super) delays: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Toddler {
    pub(super) name: String,
    pub(super) restart: Restart,
    pub(super) significant: bool,
    pub(super) time_to_start: Option<u64>,
    pub(super) after: Vec<String>,
    pub(super) delay: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Run,
    Rest,
    /// By hand.
    Dead,
    Forgotten,
    /// It has failed to start, which is judged when it has ended.
    Judged,
}

#[derive(Debug)]
struct One {
    is: Toddler,
    alive: bool,
    up: Option<u64>,
    asked: bool,
    softly: bool,
    with_others: bool,
    wish: Wish,
    not_before: u64,
    alone: bool,
    deadline: u64,
    failures: u32,
}

#[derive(Debug)]
pub(super) struct Oracle {
    setup: Setup,
    all: Vec<One>,
    now: u64,
    failures: Vec<u64>,
    over: Option<String>,
    softly: bool,
    pub(super) log: Vec<String>,
}

impl Oracle {
    pub(super) fn new(setup: Setup, children: Vec<Toddler>) -> Self {
        let mut oracle = Self {
            setup,
            all: Vec::new(),
            now: 0,
            failures: Vec::new(),
            over: None,
            softly: false,
            log: Vec::new(),
        };
        for child in children {
            oracle.take_in(child, false);
        }
        oracle.settle();
        oracle
    }

    fn take_in(&mut self, is: Toddler, alone: bool) {
        self.all.push(One {
            is,
            alive: false,
            up: None,
            asked: false,
            softly: false,
            with_others: false,
            wish: Wish::Run,
            not_before: self.now,
            alone,
            deadline: 0,
            failures: 0,
        });
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|one| one.is.name == name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.all.iter().map(|one| one.is.name.clone()).collect()
    }

    pub(super) fn alive(&self) -> Vec<String> {
        self.all.iter().filter(|one| one.alive).map(|one| one.is.name.clone()).collect()
    }

    pub(super) fn starting(&self) -> Vec<String> {
        let starting = self.all.iter().filter(|one| one.alive && one.up.is_none() && !one.asked);
        starting.map(|one| one.is.name.clone()).collect()
    }

    /// In words, as `children()` has it.
    pub(super) fn states(&self) -> Vec<String> {
        let state = |one: &One| match (one.alive, one.asked, one.up, one.wish) {
            (true, true, ..) => "stopping",
            (true, false, Some(_), _) => "up",
            (true, false, None, _) => "starting",
            (false, .., Wish::Run) if one.not_before > self.now => "in backoff",
            (false, .., Wish::Run) => "queued",
            (false, .., Wish::Dead) => "terminated",
            (false, ..) => "ended",
        };
        self.all.iter().map(|one| format!("{} {}", one.is.name, state(one))).collect()
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        let waits = self.all.iter().filter(|one| !one.alive && one.wish == Wish::Run);
        let waits = waits.map(|one| one.not_before).filter(|at| *at > self.now);
        let starts = self.all.iter().filter(|one| one.alive && one.up.is_none() && !one.asked);
        waits.chain(starts.map(|one| one.deadline)).min()
    }

    pub(super) fn outcome(&self) -> Option<String> {
        self.over.clone().filter(|_| self.all.iter().all(|one| !one.alive))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn pass(&mut self, now: u64) {
        self.now = now;
        let mut late: Vec<(u64, usize)> = Vec::new();
        for (n, one) in self.all.iter().enumerate() {
            if one.alive && one.up.is_none() && !one.asked && one.deadline <= now {
                late.push((one.deadline, n));
            }
        }
        late.sort_unstable();
        for (_, n) in late {
            self.not_up(n);
        }
        self.settle();
    }

    fn not_up(&mut self, n: usize) {
        if self.all[n].with_others {
            self.all[n].up = Some(self.now);
        } else {
            self.all[n].wish = Wish::Judged;
            self.ask(n);
        }
    }

    fn ask(&mut self, n: usize) {
        let softly = self.over.is_some() && self.softly;
        self.all[n].asked = true;
        self.all[n].softly = softly;
        let how = if softly { "ask" } else { "stop" };
        self.log.push(format!("{how} {}", self.all[n].is.name));
    }

    pub(super) fn ready(&mut self, name: &str) {
        let n = self.at(name).unwrap();
        self.all[n].up = Some(self.now);
        self.settle();
    }

    pub(super) fn never_ready(&mut self, name: &str) {
        let n = self.at(name).unwrap();
        self.not_up(n);
        self.settle();
    }

    pub(super) fn ended(&mut self, name: &str, failed: bool) {
        let n = self.at(name).unwrap();
        let was_to = self.all[n].asked || self.all[n].with_others;
        self.all[n].alive = false;
        self.all[n].asked = false;
        self.all[n].with_others = false;
        match (was_to, self.all[n].wish) {
            (true, Wish::Forgotten) => drop(self.all.remove(n)),
            (true, Wish::Judged) => self.by_itself(n, true),
            (true, _) => {}
            (false, _) => self.by_itself(n, failed),
        }
        self.settle();
    }

    fn by_itself(&mut self, n: usize, failed: bool) {
        let restart = self.all[n].is.restart;
        let name = self.all[n].is.name.clone();
        let significant = self.all[n].is.significant;
        if restart == Restart::Temporary || (restart == Restart::Transient && !failed) {
            self.all[n].wish = Wish::Rest;
            if restart == Restart::Temporary {
                self.all.remove(n);
            }
            let others = self.all.iter().any(|one| {
                let lives = one.alive || one.wish == Wish::Run;
                one.is.name != name && one.is.significant && lives
            });
            let ends = match self.setup.auto {
                AutoShutdown::Never => false,
                AutoShutdown::AnySignificant => significant,
                AutoShutdown::AllSignificant => significant && !others,
            };
            if ends {
                self.finish(format!("significant {name}"), false);
            }
            return;
        }
        if self.all[n].up.is_some_and(|up| self.now - up >= self.setup.period) {
            self.all[n].failures = 0;
        }
        let recent = self.failures.iter().filter(|at| self.now - **at < self.setup.period).count();
        if recent >= self.setup.intensity || self.all[n].failures >= self.setup.delays {
            self.all[n].wish = Wish::Rest;
            self.finish(format!("gave up {name}"), false);
            return;
        }
        self.failures.push(self.now);
        let mut at = self.now + (self.all[n].is.delay << self.all[n].failures);
        self.all[n].failures += 1;
        if self.setup.strategy == Strategy::OneForAll {
            for one in &self.all {
                if one.wish == Wish::Run && (!one.alive || one.asked) {
                    at = at.max(one.not_before);
                }
            }
        }
        let mut with_it = 0;
        for m in 0..self.all.len() {
            let is_in = match self.setup.strategy {
                Strategy::OneForOne => m == n,
                Strategy::OneForAll => true,
                Strategy::RestForOne => m >= n,
            };
            if is_in {
                self.take_along(m, m == n, at);
                with_it += u32::from(m != n && self.all[m].wish == Wish::Run);
            }
        }
        self.log.push(format!("again {name} with {with_it}"));
    }

    fn take_along(&mut self, m: usize, is_it: bool, at: u64) {
        let one = &mut self.all[m];
        let group = self.setup.strategy != Strategy::OneForOne;
        if is_it {
            (one.wish, one.not_before, one.alone) = (Wish::Run, at, !group);
            return;
        }
        if !one.alive && one.wish == Wish::Dead {
            return;
        }
        let is_guest = one.is.restart == Restart::Temporary;
        let was_to = one.asked || one.with_others;
        let back = match (one.alive, was_to, one.wish) {
            (true, true, Wish::Run) | (false, _, Wish::Run | Wish::Rest) => true,
            (true, true, Wish::Judged) | (true, false, _) => !is_guest,
            _ => {
                one.with_others = one.alive;
                return;
            }
        };
        // What it could be before counts only if it was to come back already.
        let before =
            if one.wish == Wish::Run && (!one.alive || was_to) { one.not_before } else { 0 };
        one.with_others = one.alive;
        one.wish = if back { Wish::Run } else { Wish::Forgotten };
        one.not_before = at.max(before);
        one.alone = false;
    }

    fn finish(&mut self, why: String, softly: bool) {
        if self.over.is_some() {
            return;
        }
        (self.over, self.softly) = (Some(why), softly);
        for one in &mut self.all {
            one.with_others = one.alive;
            if !one.asked && one.alive || [Wish::Run, Wish::Judged].contains(&one.wish) {
                one.wish = Wish::Rest;
            }
        }
    }

    pub(super) fn stop(&mut self) {
        self.finish("stopped".to_owned(), true);
        self.settle();
    }

    pub(super) fn cancel(&mut self) {
        if self.over.is_some() && self.softly {
            (self.over, self.softly) = (Some("cancelled".to_owned()), false);
        }
        self.finish("cancelled".to_owned(), false);
        self.settle();
    }

    /// Whether it was done; and so below.
    pub(super) fn terminate(&mut self, name: &str) -> bool {
        let Some(n) = self.at(name).filter(|_| self.over.is_none()) else { return false };
        let is_guest = self.all[n].is.restart == Restart::Temporary;
        if !self.all[n].alive && is_guest {
            self.all.remove(n);
        } else {
            self.all[n].wish = if is_guest { Wish::Forgotten } else { Wish::Dead };
            if self.all[n].alive && !self.all[n].asked {
                self.ask(n);
            }
        }
        self.settle();
        true
    }

    pub(super) fn restart(&mut self, name: &str) -> bool {
        let Some(n) = self.at(name).filter(|_| self.over.is_none()) else { return false };
        let one = &mut self.all[n];
        one.failures = 0;
        let comes_back = one.alive && one.with_others && one.wish == Wish::Run;
        if !comes_back {
            (one.wish, one.not_before, one.alone) = (Wish::Run, self.now, true);
            if one.alive && !one.asked && !one.with_others {
                self.ask(n);
            }
        }
        self.settle();
        true
    }

    pub(super) fn delete(&mut self, name: &str) -> bool {
        let Some(n) = self.at(name).filter(|_| self.over.is_none()) else { return false };
        let is_needed = self.all[n + 1..].iter().any(|one| one.is.after.iter().any(|a| a == name));
        if self.all[n].alive || self.all[n].wish == Wish::Run || is_needed {
            return false;
        }
        self.all.remove(n);
        self.settle();
        true
    }

    pub(super) fn add(&mut self, child: Toddler) -> bool {
        let fits = self.over.is_none()
            && self.all.len() < self.setup.max
            && self.at(&child.name).is_none()
            && child.after.iter().all(|after| self.at(after).is_some());
        if fits {
            self.take_in(child, true);
            self.settle();
        }
        fits
    }

    fn settle(&mut self) {
        if let Some(n) = self.all.iter().rposition(|one| one.alive && one.with_others) {
            if !self.all[n].asked {
                self.ask(n);
            } else if self.all[n].softly && !self.softly {
                self.all[n].softly = false;
                self.log.push(format!("stop {}", self.all[n].is.name));
            }
            return;
        }
        while let Some(n) = (0..self.all.len()).find(|n| self.may_start(*n)) {
            let (now, one) = (self.now, &mut self.all[n]);
            one.alive = true;
            one.up = one.is.time_to_start.is_none().then_some(now);
            one.deadline = now + one.is.time_to_start.unwrap_or(0);
            self.log.push(format!("start {}", one.is.name));
        }
    }

    fn may_start(&self, n: usize) -> bool {
        let one = &self.all[n];
        let is_starting = |one: &One| one.alive && one.up.is_none() && !one.asked;
        let is_coming = |one: &One| {
            let was_to = one.asked || one.with_others;
            let comes_back = [Wish::Run, Wish::Judged].contains(&one.wish);
            is_starting(one) || if one.alive { was_to && comes_back } else { one.wish == Wish::Run }
        };
        // One of that name that was added later is another one.
        let mut before = self.all[..n].iter();
        let held = before.any(|other| one.is.after.contains(&other.is.name) && is_coming(other));
        // It has its start before it, waits for a start, or is being stopped.
        let holds_up = |one: &One| {
            let is_waiting = one.wish == Wish::Run && one.not_before <= self.now;
            if one.alive { one.asked || one.up.is_none() } else { is_waiting }
        };
        let must_wait = !one.alone && self.all[..n].iter().any(holds_up);
        self.over.is_none()
            && one.wish == Wish::Run
            && !one.alive
            && one.not_before <= self.now
            && !held
            && !must_wait
    }
}
