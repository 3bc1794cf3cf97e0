//! The command that runs a test again.

use crate::Seed;
use std::{
    env,
    path::{Path, PathBuf},
    thread,
};

/// What a build needs to have the same schedule.
const FLAGS: &str = if cfg!(tokio_unstable) { "RUSTFLAGS=\"--cfg tokio_unstable\" " } else { "" };

/// Such as `TIDEGATE_SEED=0x1f cargo test -p breaker --test all -- --exact opens_and_closes`.
pub(crate) fn command(seed: Option<Seed>) -> String {
    let seed = seed.map_or_else(String::new, |seed| format!("TIDEGATE_SEED={seed} "));
    let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
    let dir = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let target = env::current_exe().ok().and_then(|exe| target(&exe, &package, &dir));
    let package = if package.is_empty() { package } else { format!(" -p {package}") };
    let target = target.map_or_else(String::new, |target| format!(" {target}"));
    // The harness names the thread of a test after it, unless it runs all on its own.
    let current = thread::current();
    let test = current.name().filter(|name| *name != "main");
    let test = test.map_or_else(String::new, |test| format!(" -- --exact {test}"));
    format!("{FLAGS}{seed}cargo test{package}{target}{test}")
}

/// Which of the package's test programs this is: `deps/all-0123456789abcdef` is `--test all`. None
/// if that cannot be told, as of a program with a name of its own: then cargo looks in all of them.
fn target(exe: &Path, package: &str, dir: &Path) -> Option<String> {
    let stem = exe.file_stem()?.to_str()?;
    let (name, _hash) = stem.rsplit_once('-')?;
    let has = |file: &str| dir.join(file).exists();
    if has(&format!("tests/{name}.rs")) || has(&format!("tests/{name}/main.rs")) {
        return Some(format!("--test {name}"));
    }
    // The library and the program of a package have the same name.
    let is_package = name == package.replace('-', "_");
    match (has("src/lib.rs"), has("src/main.rs")) {
        (true, false) if is_package => Some("--lib".to_owned()),
        (false, true) if is_package => Some("--bins".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_tells_the_target() {
        // This very package.
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = |exe: &str| target(Path::new(exe), "tidegate-testkit", dir);
        assert_eq!(target("/t/debug/deps/all-0f1e2d3c4b5a6978").as_deref(), Some("--test all"));
        assert_eq!(target("/t/debug/deps/tidegate_testkit-0f1e").as_deref(), Some("--lib"));
        assert_eq!(target("/t/debug/deps/a_library_of_another_name-0f1e"), None);
        assert_eq!(target("/t/debug/program"), None);
    }

    #[cfg(not(miri))]
    #[test]
    fn a_program_is_no_library() {
        let dir = env::temp_dir().join(format!("testkit-repro-{}", std::process::id()));
        let exe = Path::new("deps/tide_gate-0f1e");
        std::fs::create_dir_all(dir.join("src")).unwrap();
        std::fs::write(dir.join("src/main.rs"), "").unwrap();
        let program = target(exe, "tide-gate", &dir);
        std::fs::write(dir.join("src/lib.rs"), "").unwrap();
        let either = target(exe, "tide-gate", &dir);
        std::fs::remove_dir_all(dir).unwrap();
        assert_eq!((program.as_deref(), either), (Some("--bins"), None));
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
