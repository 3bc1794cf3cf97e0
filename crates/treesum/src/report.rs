//! The table of `--stats`: where the time went, stage by stage.

use std::fmt::Write as _;
use std::time::Duration;

use tidegate_pipeline::{StageStats, Stats};

use crate::progress::{Count, rate};

/// The table, one line for each stage and one that names the bottleneck.
///
/// The shares are of the time that the workers of a stage had in all: `busy` at work, `starved`
/// waiting for items, `blocked` waiting for room in the next queue.
pub(crate) fn table(stats: &Stats, count: Count) -> String {
    let seconds = stats.elapsed().as_secs_f64().max(1e-9);
    let mut text = format!(
        "{:<8} {:>7} {:>10} {:>10} {:>8} {:>7} {:>8} {:>8} {:>12}\n",
        "stage", "workers", "in", "out", "failed", "busy", "starved", "blocked", "items/s"
    );
    for stage in stats.stages() {
        row(&mut text, stage, seconds);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "read {} bytes in {seconds:.3} s: {}",
        count.bytes,
        rate(count.bytes, seconds)
    );
    if let Some(stage) = stats.bottleneck() {
        let _ = writeln!(text, "bottleneck: {}", stage.name);
    }
    text
}

fn row(text: &mut String, stage: &StageStats, seconds: f64) {
    let [busy, starved, blocked] = shares([stage.busy, stage.starved, stage.blocked]);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = stage.items_out as f64 / seconds;
    let _ = writeln!(
        text,
        "{:<8} {:>7} {:>10} {:>10} {:>8} {busy:>6.1}% {starved:>7.1}% {blocked:>7.1}% {per_second:>12.0}",
        stage.name.to_string(),
        stage.concurrency,
        stage.items_in,
        stage.items_out,
        stage.failed,
    );
}

/// Parts of a whole, in percent; all 0 if there is no whole.
fn shares(parts: [Duration; 3]) -> [f64; 3] {
    let whole: Duration = parts.iter().sum();
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / whole.as_secs_f64();
    if whole.is_zero() { [0.0; 3] } else { parts.map(percent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_a_hundred() {
        let ms = Duration::from_millis;
        let rounded = |parts| format!("{:.1?}", shares(parts));
        assert_eq!(rounded([ms(10), ms(30), ms(60)]), "[10.0, 30.0, 60.0]");
        assert_eq!(rounded([Duration::ZERO; 3]), "[0.0, 0.0, 0.0]");
    }
}
