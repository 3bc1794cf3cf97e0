#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod expand;
mod options;
mod time;

use proc_macro::TokenStream;

/// Makes an async function a test that runs in a bubble of its own: on a clock of its own, with a
/// verdict when it cannot go on, leaves a task behind, or when a task panics.
///
/// | option | as on the builder of a bubble |
/// |---|---|
/// | `real_io` | the real clock, with I/O |
/// | `seed = 7` | the seed that a failure tells |
/// | `seeds = 64` | none: the test is run with so many of them, on another schedule each |
/// | `budget = "1h"` | how far the clock may move |
/// | `move_budget = 1000` | how often the clock may move |
/// | `poll_budget = 1000` | how many polls there may be |
/// | `patience = "5s"` | how long there may be no progress, in real time |
/// | `grace = "50ms"` | how long what the test leaves may take to end |
/// | `allow_tasks = 1` | how many tasks may be left |
/// | `allow_panics` | tasks may panic |
///
/// A time is a whole number with one of the units `ms`, `s`, `m`, `h` and `d`.
///
/// Other attributes, `#[should_panic]` and `#[cfg]` for instance, stay where they are, and a test
/// may return a `Result`.
#[proc_macro_attribute]
pub fn test(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::test(options.into(), &function.into()).into()
}
