//! What the pure state promises, against oracles that count in exact fractions and forget nothing.

mod cell;
mod configs;
mod known;
mod oracle;
mod peer;
mod rates;
mod word;
