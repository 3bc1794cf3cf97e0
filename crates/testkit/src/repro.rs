//! The command that runs a test again.

use crate::Seed;
use std::{env, path::Path, thread};

/// What a build needs to have the same schedule.
const FLAGS: &str = if cfg!(tokio_unstable) { "RUSTFLAGS=\"--cfg tokio_unstable\" " } else { "" };

/// Such as `TIDEGATE_SEED=0x1f cargo test -p breaker --test all -- --exact opens_and_closes`.
pub(crate) fn command(seed: Option<Seed>) -> String {
    let seed = seed.map_or_else(String::new, |seed| format!("TIDEGATE_SEED={seed} "));
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let target = env::current_exe().ok().and_then(|exe| target(&exe, &package));
    let package = if package.is_empty() { package } else { format!(" -p {package}") };
    let target = target.map_or_else(String::new, |target| format!(" {target}"));
    // The harness names the thread of a test after it, unless it runs all on its own.
    let current = thread::current();
    let test = current.name().filter(|name| *name != "main");
    let test = test.map_or_else(String::new, |test| format!(" -- --exact {test}"));
    format!("{FLAGS}{seed}cargo test{package}{target}{test}")
}

/// Which of the package's test programs this is: `deps/all-0123456789abcdef` is `--test all`.
fn target(exe: &Path, package: &str) -> Option<String> {
    let stem = exe.file_stem()?.to_str()?;
    let (name, _hash) = stem.rsplit_once('-')?;
    let is_lib = name == package.replace('-', "_");
    Some(if is_lib { "--lib".to_owned() } else { format!("--test {name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_tells_the_target() {
        let target = |exe: &str| target(Path::new(exe), "tide-gate");
        assert_eq!(target("/t/debug/deps/all-0f1e2d3c4b5a6978").as_deref(), Some("--test all"));
        assert_eq!(target("/t/debug/deps/tide_gate-0f1e").as_deref(), Some("--lib"));
        assert_eq!(target("/t/debug/program"), None);
    }

    /// Under Miri the program is the interpreter.
    #[cfg(not(miri))]
    #[test]
    fn the_command_names_this_test() {
        let command = command(Some(Seed::new(31)));
        let test = "repro::tests::the_command_names_this_test";
        let whole = format!(
            "{FLAGS}TIDEGATE_SEED=0x000000000000001f cargo test -p tidegate-testkit --lib -- --exact {test}"
        );
        assert_eq!(command, whole);
    }
}
