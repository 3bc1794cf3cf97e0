//! What `#[tidegate_testkit::test]` makes of a function calls this.
//!
//! What the attribute refuses, one example each; its own tests look at the words:
//!
//! ```compile_fail
//! #[tidegate_testkit::test(real_oi)]
//! async fn an_option_that_there_is_not() {}
//! ```
//! ```compile_fail
//! #[tidegate_testkit::test(budget = "5")]
//! async fn a_time_without_a_unit() {}
//! ```
//! ```compile_fail
//! #[tidegate_testkit::test]
//! fn no_async_function() {}
//! ```
//! ```compile_fail
//! #[tidegate_testkit::test]
//! async fn an_argument(seed: u64) {}
//! ```
//! ```compile_fail
//! #[tidegate_testkit::test]
//! async fn generic<T>() {}
//! ```

use crate::BubbleBuilder;
use std::future::Future;

/// Runs a test in a bubble.
///
/// # Panics
///
/// With what is wrong with the bubble, or with the test, or as that does.
#[track_caller]
pub fn run<F: Future>(bubble: BubbleBuilder, test: F) -> F::Output {
    match bubble.build().map(|bubble| bubble.run(test)) {
        Ok(Ok(value)) => value,
        Ok(Err(failure)) => panic!("{failure}"),
        Err(error) => panic!("{error}"),
    }
}
