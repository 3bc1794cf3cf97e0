//! The pages of the site and the front page of the repository, as doctests: every code block
//! compiles and runs. `cargo xtask tidy` checks that no page is missing here.
#![forbid(unsafe_code)]
#![expect(clippy::doc_markdown, reason = "pages are prose for readers of a browser")]

#[doc = include_str!("../README.md")]
pub mod readme {}

#[doc = include_str!("src/index.md")]
pub mod index {}

#[doc = include_str!("src/structured-concurrency.md")]
pub mod structured_concurrency {}

#[doc = include_str!("src/cancellation.md")]
pub mod cancellation {}

#[doc = include_str!("src/shutdown.md")]
pub mod shutdown {}

#[doc = include_str!("src/inspection.md")]
pub mod inspection {}

#[doc = include_str!("src/supervision.md")]
pub mod supervision {}

#[cfg(unix)]
#[doc = include_str!("src/subprocesses.md")]
pub mod subprocesses {}

#[doc = include_str!("src/from-go.md")]
pub mod from_go {}

#[doc = include_str!("src/pipelines.md")]
pub mod pipelines {}

#[doc = include_str!("src/resilience.md")]
pub mod resilience {}

#[doc = include_str!("src/rate-limiting.md")]
pub mod rate_limiting {}

#[doc = include_str!("src/fleet.md")]
pub mod fleet {}

#[doc = include_str!("src/breaker.md")]
pub mod breaker {}

#[doc = include_str!("src/bulkhead.md")]
pub mod bulkhead {}

#[doc = include_str!("src/adaptive-limits.md")]
pub mod adaptive_limits {}

#[doc = include_str!("src/walking.md")]
pub mod walking {}

#[doc = include_str!("src/treesum.md")]
pub mod treesum {}

#[doc = include_str!("src/testing.md")]
pub mod testing {}

#[doc = include_str!("src/zoo.md")]
pub mod zoo {}

#[doc = include_str!("src/testing-threads.md")]
pub mod testing_threads {}

#[doc = include_str!("src/testing-from-go.md")]
pub mod testing_from_go {}

#[doc = include_str!("src/benchmarks.md")]
pub mod benchmarks {}

#[doc = include_str!("src/architecture.md")]
pub mod architecture {}

#[doc = include_str!("src/verification.md")]
pub mod verification {}
