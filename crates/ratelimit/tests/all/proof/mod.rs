//! What the pure state promises, against oracles that count in exact fractions and forget nothing.

mod cell;
mod oracle;
