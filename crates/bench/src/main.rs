//! Side-by-side benchmarks: ours and the peers in one process, interleaved.
//!
//! The machine that runs them is small and noisy, so that only ratios between contenders of
//! one run count. Every contender returns how much work it did, and the contest fails when
//! two of them disagree: a peer that gets the answer wrong is not beaten.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command line program that prints its tables")]
#![allow(
    clippy::disallowed_methods,
    reason = "it measures with the clock and runs peers as they are"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has no result")]
#![allow(clippy::cast_precision_loss, reason = "counts become ratios of three digits")]

mod alloc;
mod breaker;
mod bulkhead;
mod calls;
mod clock;
mod contest;
mod echo;
mod limit;
mod page;
mod peers;
mod pipeline;
mod record;
mod row;
mod scope;
mod syscalls;
mod testkit;
mod threads;
mod token;
mod tree;
mod treesum;
mod walk;

use clap::{Parser, ValueEnum};
use std::{path::PathBuf, process::ExitCode};

/// Runs one area of benchmarks, or all.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; everything, if absent.
    area: Option<Area>,
    /// Fewer rounds on smaller inputs: shows that it works, proves nothing.
    #[arg(long)]
    quick: bool,
    /// Writes the results to docs/data/bench/AREA.json.
    #[arg(long)]
    record: bool,
    /// Exits with an error when a target is missed.
    #[arg(long)]
    strict: bool,
    /// Runs one contender on one path and prints what it counted (used by the areas that
    /// measure whole processes).
    #[arg(long, value_names = ["CONTENDER", "PATH"], num_args = 2, conflicts_with = "area")]
    solo: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Area {
    Core,
    Walk,
    Pipeline,
    Treesum,
    Testkit,
    Ratelimit,
    Breaker,
    Bulkhead,
}

/// What every area is told.
#[derive(Clone, Copy, Debug)]
struct Plan {
    quick: bool,
}

impl Plan {
    /// How many interleaved rounds to run.
    fn rounds(self, full: usize) -> usize {
        if self.quick { 3 } else { full }
    }

    /// How much work to do in one round.
    fn size(self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(solo) = &args.solo {
        peers::solo(&solo[0], &PathBuf::from(&solo[1]));
        return ExitCode::SUCCESS;
    }
    let plan = Plan { quick: args.quick };
    let areas = args.area.map_or_else(|| Area::value_variants().to_vec(), |area| vec![area]);
    let mut missed = false;
    for area in areas {
        let (name, results) = match area {
            Area::Core => {
                ("core", [token::run(plan), scope::run(plan)].into_iter().flatten().collect())
            }
            Area::Walk => ("walk", walk::run(plan)),
            Area::Pipeline => ("pipeline", pipeline::run(plan)),
            Area::Treesum => ("treesum", treesum::run(plan)),
            Area::Testkit => ("testkit", testkit::run(plan)),
            Area::Ratelimit => ("ratelimit", limit::run(plan)),
            Area::Breaker => ("breaker", breaker::run(plan)),
            Area::Bulkhead => ("bulkhead", bulkhead::run(plan)),
        };
        print!("{}", record::table(name, &results));
        missed |= results.iter().any(|result| !result.met());
        if args.record {
            record::write(name, &results, plan);
        }
    }
    if missed && args.strict { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
