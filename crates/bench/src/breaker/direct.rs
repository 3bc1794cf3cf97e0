//! A call that a breaker lets pass and that succeeds, without a service around it.

use super::services::{Of, RESULTS, breaker};
use crate::{
    Plan,
    contest::{Contest, Cost, Done, Ratio},
    threads::together,
};
use failsafe::CircuitBreaker;
use recloser::Recloser;
use std::hint::black_box;
use tidegate_breaker::Breaker;

/// How often one thread calls in one measurement.
const TIMES: u64 = 1_000_000;

trait Guard: Sync {
    fn succeeds(&self) -> bool;
}

impl Guard for Breaker {
    fn succeeds(&self) -> bool {
        match self.try_enter() {
            Ok(ticket) => {
                ticket.success();
                true
            }
            Err(_) => false,
        }
    }
}

impl Guard for Recloser {
    fn succeeds(&self) -> bool {
        self.call(|| Ok::<_, ()>(())).is_ok()
    }
}

/// failsafe's, whose type has two parameters that nobody writes out.
struct Failsafe<B>(B);

impl<B: CircuitBreaker + Sync> Guard for Failsafe<B> {
    fn succeeds(&self) -> bool {
        self.0.call(|| Ok::<_, ()>(())).is_ok()
    }
}

pub(super) fn run(plan: Plan) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for (threads, recloser, failsafe) in [(1, None, 1.0), (2, Some(1.0 / 1.5), 1.0)] {
        let threads_of = if threads == 1 { "1 thread" } else { "2 threads" };
        let op = format!("a call of a closed breaker, {threads_of}");
        let contest = Contest::new(op, Cost::Cpu, plan.rounds(41), || {
            succeeding(plan, threads, || breaker(Of::Results(RESULTS)))
        })
        .against("recloser", recloser, || {
            let length = RESULTS as usize;
            succeeding(plan, threads, || Recloser::custom().closed_len(length).build())
        })
        .against("failsafe", failsafe, || {
            succeeding(plan, threads, || Failsafe(failsafe::Config::new().build()))
        });
        ratios.extend(contest.run());
    }
    ratios
}

fn succeeding<G: Guard>(plan: Plan, threads: usize, make: impl Fn() -> G) -> Done {
    let times = plan.size(TIMES, TIMES / 20);
    let done = together(threads, || {
        let guard = make();
        move || (0..times).map(|_| u64::from(black_box(&guard).succeeds())).sum()
    });
    assert_eq!(done.work, times * threads as u64, "not all calls passed");
    done
}
