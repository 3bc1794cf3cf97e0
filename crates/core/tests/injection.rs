//! A race among the shim's own locks and atomics is found by a test that has no point of its own.
//! In a process of its own, since the hook is there for the whole of one.

#![cfg(tidegate_stress)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;
use tidegate_core::sync::{
    Condvar, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
    inject, lock,
};
use tidegate_testkit::{Seed, Stress, StressFailure, StressReport, point_at, scale};

/// Of how many seeds nine in ten must find a race.
const SEEDS: u64 = 30;

/// One permit, for as many threads as there are.
type Take = fn(&AtomicUsize);

/// Between the check and the act another thread may have taken it.
fn take_in_two_steps(taken: &AtomicUsize) {
    if taken.load(SeqCst) == 0 {
        taken.fetch_add(1, SeqCst);
    }
}

fn take_in_one_step(taken: &AtomicUsize) {
    let _ = taken.compare_exchange(0, 1, SeqCst, SeqCst);
}

fn permits(stress: Stress, take: Take) -> Result<StressReport, StressFailure> {
    inject::with(point_at);
    stress.try_run(
        |_| AtomicUsize::new(0),
        |taken, _| take(taken),
        |taken, _| match taken.load(SeqCst) {
            1 => Ok(()),
            n => Err(format!("one permit was taken {n} times")),
        },
    )
}

#[expect(clippy::print_stdout, reason = "the stress lane reads it")]
fn finds_nine_of_ten(threads: usize) {
    let seeds = scale(SEEDS);
    let finds = |seed: &u64| {
        // By name, too: a seed from the environment is one for all.
        let stress = Stress::new(format!("two steps, {threads} threads, {seed}"));
        let stress = stress.threads(threads).seed(Seed::new(*seed)).min_rounds(1).reruns(0);
        permits(stress.time(Duration::from_secs(2)), take_in_two_steps).is_err()
    };
    let found = (0..seeds).filter(finds).count() as u64;
    assert!(found * 10 >= seeds * 9, "{found} of {seeds} seeds");
    println!("stress: two steps, {threads} threads seed=all rounds={found}");
}

#[test]
fn stress_two_steps_are_found_with_2_threads() {
    finds_nine_of_ten(2);
}

#[test]
fn stress_two_steps_are_found_with_4_threads() {
    finds_nine_of_ten(4);
}

#[test]
fn stress_two_steps_are_found_with_8_threads() {
    finds_nine_of_ten(8);
}

#[test]
fn stress_one_step_never_fails() {
    permits(Stress::new("one step"), take_in_one_step).unwrap();
}

/// All threads meet, by a lock and a condition: neither is changed by the points.
#[test]
fn stress_locks_and_conditions_work_as_before() {
    inject::with(point_at);
    Stress::new("locks and conditions").run(
        |_| (Mutex::new(0), Condvar::new()),
        |(arrived, all), ctx| {
            let mut now = lock(arrived);
            *now += 1;
            if *now == ctx.threads() {
                all.notify_all();
            }
            while *now < ctx.threads() {
                now = all.wait(now).unwrap();
            }
        },
        |(arrived, _), threads| match *lock(arrived) {
            n if n == threads => Ok(()),
            n => Err(format!("{n} of {threads} arrived")),
        },
    );
}
