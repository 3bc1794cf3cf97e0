//! Breakers against a naive one, which keeps everything and counts it anew each time.

mod oracle;
mod traces;
