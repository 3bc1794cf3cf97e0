//! Contenders, run in turn so that noise hits all of them alike.

use crate::clock::{Spent, measure};
use std::time::Duration;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    Wall,
    Cpu,
}

impl Cost {
    fn of(self, spent: Spent) -> f64 {
        match self {
            Self::Wall => spent.wall.as_secs_f64(),
            Self::Cpu => spent.cpu.as_secs_f64(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "cpu",
        }
    }
}

/// One operation, measured for us and for peers.
pub(crate) struct Contest<'a> {
    op: String,
    cost: Cost,
    rounds: usize,
    contenders: Vec<Contender<'a>>,
}

struct Contender<'a> {
    name: &'static str,
    target: Option<f64>,
    run: Box<dyn FnMut() -> Done + 'a>,
    spent: Vec<Spent>,
}

/// What a contender has done: how much work, such as the number of entries, and what that took
/// if only a part of the run is to be compared.
pub(crate) struct Done {
    pub(crate) work: u64,
    pub(crate) spent: Option<Spent>,
}

impl From<u64> for Done {
    fn from(work: u64) -> Self {
        Self { work, spent: None }
    }
}

/// The ratio of our cost to that of one peer.
#[derive(Debug)]
pub(crate) struct Ratio {
    pub(crate) op: String,
    pub(crate) peer: String,
    pub(crate) unit: &'static str,
    pub(crate) median: f64,
    pub(crate) min: f64,
    /// What the ratio is to stay below; none, if the row is there to inform.
    pub(crate) target: Option<f64>,
    /// How much work each contender did, the same for all.
    pub(crate) work: u64,
    pub(crate) rounds: usize,
}

impl Ratio {
    pub(crate) fn met(&self) -> bool {
        self.target.is_none_or(|target| self.median <= target)
    }
}

impl<'a> Contest<'a> {
    /// `ours` returns what it has [done](Done).
    pub(crate) fn new<D: Into<Done>>(
        op: impl Into<String>,
        cost: Cost,
        rounds: usize,
        ours: impl FnMut() -> D + 'a,
    ) -> Self {
        let contest = Self { op: op.into(), cost, rounds, contenders: Vec::new() };
        contest.add("ours", None, ours)
    }

    /// A peer; our cost divided by its own is to be at most `target`.
    pub(crate) fn against<D: Into<Done>>(
        self,
        name: &'static str,
        target: impl Into<Option<f64>>,
        run: impl FnMut() -> D + 'a,
    ) -> Self {
        self.add(name, target.into(), run)
    }

    fn add<D: Into<Done>>(
        mut self,
        name: &'static str,
        target: Option<f64>,
        mut run: impl FnMut() -> D + 'a,
    ) -> Self {
        let run = Box::new(move || run().into());
        self.contenders.push(Contender { name, target, run, spent: Vec::new() });
        self
    }

    /// Runs all contenders once to warm up, then in interleaved rounds.
    pub(crate) fn run(mut self) -> Vec<Ratio> {
        let work = (self.contenders[0].run)().work;
        for contender in &mut self.contenders[1..] {
            let theirs = (contender.run)().work;
            assert_eq!(work, theirs, "{}: {} did other work than ours", self.op, contender.name);
        }
        for _ in 0..self.rounds {
            for contender in &mut self.contenders {
                let (done, spent) = measure(&mut contender.run);
                assert_eq!(done.work, work, "{}: {} did other work", self.op, contender.name);
                contender.spent.push(done.spent.unwrap_or(spent));
            }
        }
        for contender in &self.contenders {
            let best =
                contender.spent.iter().map(|spent| self.cost.of(*spent)).fold(f64::MAX, f64::min);
            let each = Duration::from_secs_f64(best / work.max(1) as f64);
            println!("  {}: {} {best:.4} s, {each:?} each of {work}", self.op, contender.name);
        }
        self.ratios(work)
    }

    fn ratios(&self, work: u64) -> Vec<Ratio> {
        let costs = |contender: &Contender<'_>| -> Vec<f64> {
            contender.spent.iter().map(|spent| self.cost.of(*spent)).collect()
        };
        let ours = costs(&self.contenders[0]);
        let ratio = |contender: &Contender<'_>| {
            let theirs = costs(contender);
            let mut each: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
            each.sort_by(f64::total_cmp);
            Ratio {
                op: self.op.clone(),
                peer: contender.name.to_owned(),
                unit: self.cost.name(),
                median: each[each.len() / 2],
                min: each[0],
                target: contender.target,
                work,
                rounds: self.rounds,
            }
        };
        self.contenders[1..].iter().map(ratio).collect()
    }
}
