//! All integration tests of the program, in one binary. They run the real `treesum`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::print_stderr, reason = "what was skipped, measured or drawn belongs in the log")]
#![allow(clippy::naive_bytecount, reason = "outputs of a test are short")]

#[path = "all/bad_input.rs"]
mod bad_input;
#[path = "all/compare.rs"]
mod compare;
#[path = "all/interrupt.rs"]
mod interrupt;
#[path = "all/manifest_file.rs"]
mod manifest_file;
#[path = "all/memory.rs"]
mod memory;
#[path = "all/program.rs"]
mod program;
#[path = "all/scan.rs"]
mod scan;
#[path = "all/special.rs"]
mod special;
#[path = "all/tree.rs"]
mod tree;
#[path = "all/verify.rs"]
mod verify;
