//! What is counted instead of measured.

use crate::contest::Ratio;

/// A count of one contender by itself, which noise does not touch.
pub(crate) fn counted(
    op: impl Into<String>,
    who: &str,
    count: f64,
    target: impl Into<Option<f64>>,
    work: u64,
) -> Ratio {
    Ratio {
        op: op.into(),
        peer: who.to_owned(),
        unit: "count",
        median: count,
        min: count,
        target: target.into(),
        work,
        rounds: 1,
    }
}
