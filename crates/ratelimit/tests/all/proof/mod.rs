//! What the pure state promises, against oracles that count in exact fractions and forget nothing.

mod cell;
mod configs;
mod kept;
mod known;
mod oracle;
mod peer;
mod rates;
mod refunds;
mod word;
