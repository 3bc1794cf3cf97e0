//! The table of `--stats`: where the time went, stage by stage.

use tidegate_pipeline::Stats;

use crate::progress::{Count, rate};

/// The pipeline's own table, which ends with the bottleneck and what to do about it, and what
/// the pipeline does not know: bytes.
pub(crate) fn table(stats: &Stats, count: Count) -> String {
    let seconds = stats.elapsed().as_secs_f64().max(1e-9);
    let bytes = count.bytes;
    format!("{stats}\nread and hashed {bytes} bytes in {seconds:.3} s: {}\n", rate(bytes, seconds))
}
