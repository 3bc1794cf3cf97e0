//! The table a person reads.

use super::{
    Stats,
    bottleneck::{Shares, advice},
};
use std::{fmt, time::Duration};

pub(super) fn write(stats: &Stats, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let names = stats.stages.iter().map(|stage| stage.name.as_str().chars().count());
    let width = names.max().unwrap_or(0).max("stage".len());
    writeln!(
        f,
        "{:width$}  {:>5}  {:>11}  {:>11}  {:>8}  {:>6}  {:>9}  {:>9}  {:>10}  {:>11}",
        "stage",
        "slots",
        "in",
        "out",
        "dropped",
        "busy %",
        "starved %",
        "blocked %",
        "items/s",
        "max queued"
    )?;
    for stage in &stats.stages {
        let shares = Shares::of(stage, stats.elapsed);
        writeln!(
            f,
            "{:width$}  {:>5}  {:>11}  {:>11}  {:>8}  {:>6.1}  {:>9.1}  {:>9.1}  {:>10.0}  {:>5}/{:<5}",
            stage.name,
            stage.concurrency,
            stage.items_in,
            stage.items_out,
            stage.failed + stage.filtered + stage.cancelled,
            shares.busy * 100.0,
            shares.starved * 100.0,
            shares.blocked * 100.0,
            rate(stage.items_out, stats.elapsed),
            stage.max_queued,
            stage.capacity,
        )?;
    }
    write!(
        f,
        "{} delivered, {} failed, {} filtered, {} cancelled in {:.3} s",
        stats.delivered(),
        stats.failed(),
        stats.filtered(),
        stats.cancelled(),
        stats.elapsed.as_secs_f64(),
    )?;
    if let Some(stage) = stats.bottleneck() {
        let shares = Shares::of(stage, stats.elapsed);
        write!(f, "\nbottleneck: {}, {}", stage.name, advice(stage, shares))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(items: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { items as f64 / seconds } else { 0.0 }
}
