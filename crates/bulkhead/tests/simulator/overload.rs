//! What each limit promises in each scenario, and that it is worth something: what the others do there.

use super::{
    limits::{ADAPTIVE, Way},
    report::Report,
    scenarios::{self, Scenario},
    world::run,
};

/// At least this part of the ideal, no slower than this in milliseconds for 99 of 100, no more than this
/// limit, right again after so many seconds.
struct Promise {
    goodput: f64,
    p99: u64,
    most: u32,
    converges: f64,
}

const SEEDS: [u64; 3] = [1, 2, 3];

fn keeps(scenario: &Scenario, promise: &Promise) {
    for way in ADAPTIVE {
        for seed in SEEDS {
            let report = run(scenario, way, seed);
            let (goodput, p99, most) = (report.goodput(), report.latency(990), report.most());
            let converges = report.convergence(way.most());
            let what =
                format!("{way:?}, seed {seed}: {goodput:.3}, {p99} ms, {most}, {converges:?} s");
            assert!(goodput >= promise.goodput, "{what}");
            assert!(p99 <= promise.p99, "{what}");
            assert!(most <= promise.most, "{what}");
            assert!(converges.is_some_and(|s| s <= promise.converges), "{what}");
        }
    }
}

fn goodput(scenario: &Scenario, way: Way) -> f64 {
    run(scenario, way, 1).goodput()
}

#[test]
fn below_capacity_a_limit_is_hardly_felt() {
    let promise = Promise { goodput: 0.95, p99: 200, most: 130, converges: 0.0 };
    keeps(&scenarios::light(), &promise);
    assert!(goodput(&scenarios::light(), Way::TooLow) < 0.5);
}

/// Netflix concurrency-limits #134, #141, #88, #92.
#[test]
fn mild_overload_does_not_raise_a_limit_without_end() {
    let promise = Promise { goodput: 0.93, p99: 250, most: 80, converges: 0.0 };
    keeps(&scenarios::mild(), &promise);
    assert!(goodput(&scenarios::mild(), Way::None) < 0.2);
}

/// The same, and why: the one that has the fault grows until nothing but timeouts holds it.
#[test]
fn the_naive_gradient_grows_until_calls_time_out() {
    let Report { ticks, .. } = run(&scenarios::mild(), Way::Naive, 1);
    let at = |second: usize| ticks[second * 2].limit;
    assert!(at(20) < at(30) && at(30) < at(60) && at(60) < at(90));
    assert!(at(119) > 300, "{}", at(119));
    assert!(goodput(&scenarios::mild(), Way::Naive) < 0.8);
}

#[test]
fn strong_overload_does_not_lower_what_is_done() {
    let promise = Promise { goodput: 0.95, p99: 250, most: 80, converges: 0.0 };
    keeps(&scenarios::strong(), &promise);
    assert!(goodput(&scenarios::strong(), Way::None) < 0.05);
}

#[test]
fn a_loss_of_workers_is_followed_in_seconds() {
    let promise = Promise { goodput: 0.93, p99: 400, most: 80, converges: 8.0 };
    keeps(&scenarios::step(), &promise);
    assert!(goodput(&scenarios::step(), Way::TooHigh) < 0.5);
}

/// Netflix concurrency-limits #165.
#[test]
fn calls_that_take_longer_and_longer_are_no_queue() {
    let promise = Promise { goodput: 0.85, p99: 450, most: 80, converges: 0.0 };
    keeps(&scenarios::drift(), &promise);
    assert!(goodput(&scenarios::drift(), Way::TooHigh) < 0.5);
}

#[test]
fn bursts_are_cut_off_and_forgotten() {
    let promise = Promise { goodput: 0.92, p99: 250, most: 80, converges: 0.0 };
    keeps(&scenarios::bursts(), &promise);
    assert!(goodput(&scenarios::bursts(), Way::None) < 0.5);
}

#[test]
fn callers_that_try_again_do_not_bring_it_down() {
    let promise = Promise { goodput: 0.95, p99: 250, most: 80, converges: 0.0 };
    keeps(&scenarios::retries(), &promise);
    assert!(goodput(&scenarios::retries(), Way::None) < 0.05);
}

/// Netflix concurrency-limits #125.
#[test]
fn health_checks_do_not_poison_what_a_call_takes() {
    let promise = Promise { goodput: 0.92, p99: 300, most: 200, converges: 6.0 };
    keeps(&scenarios::checks(), &promise);
    assert!(goodput(&scenarios::checks(), Way::None) < 0.2);
}

#[test]
fn a_run_is_the_same_each_time() {
    for way in ADAPTIVE {
        let [one, other] = [(); 2].map(|()| run(&scenarios::bursts(), way, 7));
        let of = |report: &Report| {
            let all = report.ticks.iter();
            all.map(|tick| (tick.good, tick.rejected, tick.limit, tick.in_flight))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&one), of(&other));
    }
}
