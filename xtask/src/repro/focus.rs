//! One test out of what a lane runs.

use crate::process::Cmd;

/// A test, as cargo finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Focus {
    /// The package.
    pub package: String,
    /// The option that picks the program: `--lib`, `--bins` or `--test=all`.
    pub program: String,
    /// Its whole name; none for all tests of the program.
    pub test: Option<String>,
    /// What it draws its random numbers from.
    pub seed: Option<u64>,
}

/// Options that pick programs, or say what to do about the other ones.
const REPLACED: [&str; 6] =
    ["--lib", "--bins", "--tests", "--no-fail-fast", "--no-tests=pass", "--workspace"];

impl Focus {
    /// The command of a lane for this test alone; none if it is no command that runs tests.
    #[must_use]
    pub fn narrow(&self, cmd: &Cmd) -> Option<Cmd> {
        let args: Vec<String> =
            cmd.arguments().iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let verb = args.iter().position(|arg| arg.starts_with('-')).unwrap_or(args.len());
        let nextest = args[..verb].iter().any(|arg| arg == "nextest");
        let is_test = nextest || args[..verb].iter().any(|arg| arg == "test");
        if !is_test || args.iter().any(|arg| arg == "--doc") {
            return None;
        }
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let mut narrowed = Vec::new();
        let mut options = args[..end].iter();
        while let Some(option) = options.next() {
            if option == "-p" {
                options.next();
            } else if !REPLACED.contains(&option.as_str()) && !option.starts_with("--test=") {
                narrowed.push(option.clone());
            }
        }
        narrowed.extend(["-p".to_owned(), self.package.clone(), self.program.clone()]);
        if nextest {
            narrowed.extend(self.test.iter().map(|test| format!("-Etest(={test})")));
        } else {
            narrowed.push("--".to_owned());
            // What picks tests by a part of their names goes; the whole name picks one.
            let harness = args[end..].iter().skip(1).filter(|arg| arg.starts_with("--"));
            narrowed.extend(harness.cloned());
            if let Some(test) = &self.test {
                narrowed.extend(["--exact".to_owned(), test.clone()]);
            }
        }
        let cmd = cmd.clone().with_arguments(narrowed);
        Some(match self.seed {
            Some(seed) => cmd.env("TIDEGATE_SEED", format!("{seed:#x}")),
            None => cmd,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(line: &[&str]) -> Option<String> {
        let focus = Focus {
            package: "core".into(),
            program: "--test=all".into(),
            test: Some("scope::x".into()),
            seed: Some(31),
        };
        let cmd =
            Cmd::new("cargo").args(line.iter().copied()).env("A", "b").env("TIDEGATE_SEED", "7");
        focus.narrow(&cmd).map(|cmd| cmd.line())
    }

    #[test]
    fn a_lane_is_narrowed_to_one_test_and_keeps_its_flags() {
        let stress = ["test", "--locked", "--lib", "--test=stress", "-p", "core", "-p", "pool"];
        let harness = ["--", "--nocapture", "--test-threads=1", "stress_"];
        assert_eq!(
            narrowed(&[&stress[..], &harness[..]].concat()).unwrap(),
            "A=b TIDEGATE_SEED=0x1f cargo test --locked -p core --test=all -- \
             --nocapture --test-threads=1 --exact scope::x"
        );
        let miri = ["+nightly", "miri", "test", "--locked", "--no-fail-fast", "--lib", "-p", "a"];
        assert_eq!(
            narrowed(&miri).unwrap(),
            "A=b TIDEGATE_SEED=0x1f cargo +nightly miri test --locked -p core --test=all -- \
             --exact scope::x"
        );
        let nextest = ["nextest", "run", "--no-tests=pass", "--locked", "--all-features"];
        assert_eq!(
            narrowed(&nextest).unwrap(),
            "A=b TIDEGATE_SEED=0x1f cargo nextest run --locked --all-features -p core --test=all \
             '-Etest(=scope::x)'"
        );
    }

    #[test]
    fn what_runs_no_tests_is_left_alone() {
        assert_eq!(narrowed(&["test", "--doc", "--locked"]), None);
        assert_eq!(narrowed(&["--version"]), None);
        assert_eq!(narrowed(&["component", "add", "miri"]), None);
        assert_eq!(narrowed(&["clippy", "--all-targets"]), None);
    }
}
