//! What tests have done, for whoever counts it over a whole run.

use std::thread;

/// Prints `<what>: <test> <count>`.
#[expect(clippy::print_stdout, reason = "a line of the test's own output")]
pub(crate) fn tell(what: &str, count: u64) {
    let current = thread::current();
    println!("{what}: {} {count}", current.name().unwrap_or("?"));
}
