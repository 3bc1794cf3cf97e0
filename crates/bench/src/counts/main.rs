//! Counts the allocations of one contender, in a process of its own: an allocator that counts
//! makes every allocation dearer, which would be to the advantage of whoever makes fewer.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "the numbers are its output")]
#![allow(clippy::unwrap_used, reason = "a case that cannot go on has no result")]
#![allow(clippy::disallowed_methods, reason = "it runs peers as they are")]

mod calls;
#[path = "../echo.rs"]
mod echo;
mod limit;
mod scope;
mod token;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Does some work `times` times, and returns what it made, so that this is still alive when it
/// is counted.
type Case = fn(times: u64) -> Box<dyn std::any::Any>;

fn case(name: &str) -> Case {
    match name {
        "child+drop ours" => token::child_ours,
        "child+drop CancellationToken" => token::child_tokio_util,
        "spawn and join ours" => scope::spawned_ours,
        "spawn and join JoinSet" => scope::spawned_join_set,
        "spawn and await a number ours" => scope::numbers_ours,
        "spawn and await a number JoinSet" => scope::numbers_join_set,
        "spawn and await a boxed value ours" => scope::boxed_ours,
        "spawn and await a boxed value JoinSet" => scope::boxed_join_set,
        "parked ours" => scope::parked_ours,
        "parked JoinSet" => scope::parked_join_set,
        "cancellable ours" => scope::cancellable_ours,
        "cancellable JoinSet and child tokens" => scope::cancellable_join_set,
        "breaker ours" => calls::breaker_ours,
        "breaker tower-resilience" => calls::breaker_tower_resilience,
        "bulkhead ours" => calls::bulkhead_ours,
        "bulkhead tower" => calls::bulkhead_tower,
        "bulkhead tower-resilience" => calls::bulkhead_tower_resilience,
        "keyed ours" => limit::keyed_ours,
        "keyed governor" => limit::keyed_governor,
        "layer ours" => limit::layer_ours,
        "layer tower-resilience" => limit::layer_tower_resilience,
        other => panic!("no case is called {other}"),
    }
}

/// Prints for the case that the arguments name: how often it allocated, how many bytes that
/// were, and how many of them are alive at the end.
fn main() {
    let mut args = std::env::args().skip(1);
    let case = case(&args.next().expect("a name"));
    let times = args.next().and_then(|times| times.parse().ok()).expect("a number");
    // What is allocated once for all is not the case's.
    drop(case(1));
    let region = Region::new(COUNTED);
    let made = case(times);
    let change = region.change();
    drop(made);
    let bytes = change.bytes_allocated;
    let live = bytes.saturating_sub(change.bytes_deallocated);
    println!("{} {bytes} {live}", change.allocations + change.reallocations);
}
