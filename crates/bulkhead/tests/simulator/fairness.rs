//! Clients that know nothing of each other share a server.

use super::{
    limits::{ADAPTIVE, Way},
    report::{Report, fairness},
    scenarios,
    world::share,
};

/// Of two clients, of which the second came after the first had all of it: Jain's index.
pub(super) fn of_two(way: Way, seed: u64) -> f64 {
    let reports = share(&scenarios::shared(), way, seed, &[0, 10]);
    let shares: Vec<f64> = reports.iter().map(|report| report.good() as f64).collect();
    fairness(&shares)
}

#[test]
fn who_comes_later_gets_a_share() {
    for way in ADAPTIVE {
        for seed in 1..=3 {
            let index = of_two(way, seed);
            assert!(index >= 0.8, "{way:?}, seed {seed}: {index:.3}");
            let reports = share(&scenarios::shared(), way, seed, &[0, 10]);
            let p99 = reports.iter().map(|report| report.latency(990)).max().unwrap();
            let done = reports.iter().map(Report::goodput).sum::<f64>();
            assert!(p99 <= 500 && done >= 0.9, "{way:?}, seed {seed}: {p99} ms, {done:.3}");
        }
    }
}

/// Netflix concurrency-limits #165: what one of many sees while it alone looks is the queue of the others.
#[test]
fn a_fleet_does_not_grow_by_the_queues_of_each_other() {
    for way in ADAPTIVE {
        let joins: Vec<u64> = (0..10).map(|client| client * 7 / 3).collect();
        let reports = share(&scenarios::fleet(), way, 1, &joins);
        let limit =
            |tick: usize| reports.iter().map(|report| report.ticks[tick].limit).sum::<u32>();
        let ticks = reports[0].ticks.len();
        let most = (ticks / 2..ticks).map(limit).max().unwrap();
        let done = reports.iter().map(Report::goodput).sum::<f64>();
        // Without times in common it is ten times as many as there are workers, and grows on.
        let times = if way == Way::Gradient2 { 5 } else { 3 };
        assert!(most <= scenarios::FLEET_WORKERS * times, "{way:?}: {most}");
        assert!(done >= 0.85, "{way:?}: {done:.3}");
    }
}

#[test]
fn the_index_is_one_for_equal_shares_and_one_nth_for_a_single_one() {
    assert!((fairness(&[3.0, 3.0, 3.0]) - 1.0).abs() < 1e-9);
    assert!((fairness(&[3.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9);
}
