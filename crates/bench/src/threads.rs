//! Work that several threads do at the same time, and not one after the other.
//!
//! Two that are ready to run on a machine that has one processor to spare take turns of milliseconds: each works as if it
//! were alone, and what they contend for costs nothing.

use crate::{clock::Spent, contest::Done};
use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How much of the time all threads have to be at work, and to have a processor. Two that run one after the other
/// cost no more each than one does, and prove nothing.
const OVERLAP: f64 = 0.9;

/// How often work is done again that did not overlap so.
const TRIES: usize = 100;

/// What one thread did, and when.
struct Run {
    work: u64,
    start: Instant,
    end: Instant,
    cpu: Duration,
    /// How long it was ready, and had no processor.
    kept: Duration,
}

/// Has `threads` threads do the work that `prepare` returns, all at once: the sum of what it returns,
/// the time from the first start to the last end, and the time that the threads were not stopped by
/// others in.
pub(crate) fn together<W: Fn() -> u64 + Sync>(threads: usize, prepare: impl Fn() -> W) -> Done {
    let mut best: Option<(f64, Done)> = None;
    for _ in 0..TRIES {
        let work = prepare();
        let (overlap, done) = attempt(threads, &work);
        if overlap >= OVERLAP {
            return done;
        }
        if best.as_ref().is_none_or(|(most, _)| *most < overlap) {
            best = Some((overlap, done));
        }
    }
    let (overlap, done) = best.unwrap();
    println!("  the machine is too busy: threads overlapped for {:.0} % only", overlap * 100.0);
    done
}

fn attempt(threads: usize, work: &(impl Fn() -> u64 + Sync)) -> (f64, Done) {
    let (barrier, here) = (Barrier::new(threads), AtomicUsize::new(0));
    let run = || {
        barrier.wait();
        let kept_before = kept();
        // A barrier wakes one after the other: who is first waits for the last on its processor.
        here.fetch_add(1, Ordering::AcqRel);
        while here.load(Ordering::Acquire) < threads {
            std::hint::spin_loop();
        }
        let (start, before) = (Instant::now(), cpu());
        let work = work();
        let cpu = cpu().saturating_sub(before);
        let end = Instant::now();
        Run { work, start, end, cpu, kept: kept().saturating_sub(kept_before) }
    };
    let runs: Vec<Run> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        others.into_iter().map(|other| other.join().unwrap()).chain([own]).collect()
    });
    let first = runs.iter().map(|run| run.start).min().unwrap();
    let last = runs.iter().map(|run| run.end).max().unwrap();
    let all_from = runs.iter().map(|run| run.start).max().unwrap();
    let all_to = runs.iter().map(|run| run.end).min().unwrap();
    let wall = last - first;
    let kept: Duration = runs.iter().map(|run| run.kept).sum();
    let together = all_to.saturating_duration_since(all_from).saturating_sub(kept);
    let overlap = together.as_secs_f64() / wall.as_secs_f64();
    let spent = Some(Spent { wall, cpu: runs.iter().map(|run| run.cpu).sum() });
    (overlap, Done { work: runs.iter().map(|run| run.work).sum(), spent })
}

/// What this thread alone has used up.
fn cpu() -> Duration {
    let own = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(own.tv_sec.unsigned_abs(), own.tv_nsec.try_into().unwrap_or(0))
}

/// How long this thread was ready, and had no processor: the second number of what Linux says of it. None, where there
/// is no such file.
fn kept() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = said.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
