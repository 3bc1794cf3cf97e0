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

#[test]
fn the_index_is_one_for_equal_shares_and_one_nth_for_a_single_one() {
    assert!((fairness(&[3.0, 3.0, 3.0]) - 1.0).abs() < 1e-9);
    assert!((fairness(&[3.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9);
}
