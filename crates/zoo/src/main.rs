//! One run of one test; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate_zoo::main()
}
