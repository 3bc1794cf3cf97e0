//! Programs that lanes need: found, or installed where that is allowed.

use std::path::{Path, PathBuf};

use crate::{cx::Cx, outcome::Stop, process::Cmd, workspace::version_line};

/// A program from the registry.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The package.
    pub package: &'static str,
    /// The program.
    pub program: &'static str,
    /// The version that is installed.
    pub version: &'static str,
    /// What the version of a program that is already there must start with.
    pub accepts: &'static str,
    /// Built without optimisation: it runs once, and building it is what costs.
    pub debug: bool,
}

/// Builds the site.
pub const MDBOOK: Tool =
    Tool { package: "mdbook", program: "mdbook", version: "0.5.4", accepts: "0.5.", debug: true };

/// Checks licences, bans and sources.
pub const CARGO_DENY: Tool = Tool {
    package: "cargo-deny",
    program: "cargo-deny",
    version: "0.20.2",
    accepts: "0.",
    debug: true,
};

/// The reference that treesum is compared with.
pub const B3SUM: Tool =
    Tool { package: "b3sum", program: "b3sum", version: "1.8.7", accepts: "1.", debug: false };

/// Runs tests with a standard library that checks its callers.
pub const CARGO_CAREFUL: Tool = Tool {
    package: "cargo-careful",
    program: "cargo-careful",
    version: "0.4.10",
    accepts: "0.4.",
    debug: true,
};

/// Compares the public API with that of an earlier version.
pub const CARGO_SEMVER_CHECKS: Tool = Tool {
    package: "cargo-semver-checks",
    program: "cargo-semver-checks",
    version: "0.51.0",
    accepts: "0.51.",
    debug: true,
};

/// Changes the code and looks whether a test notices.
pub const CARGO_MUTANTS: Tool = Tool {
    package: "cargo-mutants",
    program: "cargo-mutants",
    version: "27.1.0",
    accepts: "27.",
    debug: true,
};

/// A program from the packages of the system.
#[derive(Clone, Copy, Debug)]
pub struct SystemTool {
    /// The package, in Debian.
    pub package: &'static str,
    /// The program.
    pub program: &'static str,
}

/// The server that limiters of a fleet share in their tests.
pub const REDIS_SERVER: SystemTool =
    SystemTool { package: "redis-server", program: "redis-server" };

impl SystemTool {
    /// The line that installs it by hand.
    #[must_use]
    pub fn install_line(&self) -> String {
        format!("apt-get install {}", self.package)
    }

    /// What the program on `PATH` says its version is.
    #[must_use]
    pub fn find(&self) -> Option<String> {
        version_line(&Cmd::new(self.program).arg("--version"))
    }

    /// Makes sure that the program is there, installed if need be. A service that its package starts is
    /// not what tests use: they start their own.
    ///
    /// # Errors
    /// `unavailable` when it is missing and may not or cannot be installed.
    pub fn require(&self, cx: &mut Cx<'_>) -> Result<(), Stop> {
        if let Some(version) = self.find() {
            cx.note(format_args!("using {version}"));
            return Ok(());
        }
        let mut what = "is not installed";
        if !cx.options.no_install {
            // One without the rights to do it may still have the program.
            let apt = |args: &[&str]| {
                Cmd::new("apt-get")
                    .args(args.iter().copied())
                    .env("DEBIAN_FRONTEND", "noninteractive")
            };
            let install = ["install", "--yes", "--no-install-recommends", self.package];
            let done = cx.run(&apt(&["update"])).is_ok() && cx.run(&apt(&install)).is_ok();
            if done && self.find().is_some() {
                return Ok(());
            }
            what = "could not be installed";
        }
        Err(Stop::unavailable(format_args!("{} {what}", self.program), self.install_line()))
    }
}

impl Tool {
    /// The line that installs it by hand.
    #[must_use]
    pub fn install_line(&self) -> String {
        format!("cargo install --locked {}@{}", self.package, self.version)
    }

    /// The program on `PATH` or among those this program installed, with its version.
    #[must_use]
    pub fn find(&self, tools: &Path) -> Option<(PathBuf, String)> {
        let own = tools.join("bin").join(self.program);
        let asked = [PathBuf::from(self.program), own.clone()].into_iter().find_map(|path| {
            let line = version_line(&Cmd::new(&path).arg("--version"))?;
            self.suits(&line).then_some((path, line))
        });
        // Subcommands of cargo need not know `--version`, but cargo knows what it installed.
        asked.or_else(|| {
            let list = std::fs::read_to_string(tools.join(".crates.toml")).ok()?;
            Some((own, self.listed(&list)?))
        })
    }

    /// The package and its version, if the list of what cargo installed has one that will do.
    fn listed(&self, list: &str) -> Option<String> {
        list.lines().filter_map(|line| line.strip_prefix('"')).find_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let version = rest.split(' ').next()?;
            let suits = name == self.package && version.starts_with(self.accepts);
            suits.then(|| format!("{name} {version}"))
        })
    }

    /// Whether a line such as `mdbook v0.5.4` names a version that will do.
    fn suits(&self, line: &str) -> bool {
        line.split_whitespace()
            .map(|word| word.trim_start_matches('v'))
            .any(|word| word.starts_with(self.accepts))
    }

    /// The program, installed if need be.
    ///
    /// # Errors
    /// `unavailable` when it is missing and may not or cannot be installed.
    pub fn require(&self, cx: &mut Cx<'_>) -> Result<PathBuf, Stop> {
        let tools = cx.workspace.tools();
        if let Some((path, version)) = self.find(&tools) {
            cx.note(format_args!("using {} ({version})", path.display()));
            return Ok(path);
        }
        if cx.options.no_install {
            return Err(self.missing("is not installed"));
        }
        let install = Cmd::cargo()
            .args(["install", "--locked", "--root"])
            .arg(tools.as_os_str())
            .args(self.debug.then_some("--debug"))
            .arg(format!("{}@{}", self.package, self.version));
        let finished = cx.run(&install)?;
        if !finished.success {
            return Err(self.missing("could not be installed"));
        }
        self.find(&tools).map(|(path, _)| path).ok_or_else(|| self.missing("does not run"))
    }

    fn missing(&self, what: &str) -> Stop {
        Stop::unavailable(format_args!("{} {what}", self.program), self.install_line())
    }
}

/// Makes sure that the toolchain in use has the component of this cargo subcommand.
///
/// # Errors
/// `unavailable` when it has not and may not or cannot get it.
pub fn require_component(cx: &mut Cx<'_>, component: &str, subcommand: &str) -> Result<(), Stop> {
    // Asked for through the subcommand, which cargo does not list as missing.
    let probe = Cmd::cargo().args([subcommand, "--version"]);
    if cx.run(&probe)?.success {
        return Ok(());
    }
    let install = Cmd::new("rustup").args(["component", "add", component]);
    let installed = !cx.options.no_install && cx.run(&install).is_ok_and(|done| done.success);
    if installed && cx.run(&probe)?.success {
        return Ok(());
    }
    let line = format!("rustup component add {component}");
    Err(Stop::unavailable(format_args!("{component} is not installed"), line))
}

/// The components of nightly that Miri and the sanitizers need.
pub const NIGHTLY_LINE: &str =
    "rustup toolchain install nightly --profile minimal -c miri -c rust-src";

/// Makes sure that nightly has `components`, and returns its `rustc --version`.
///
/// # Errors
/// `unavailable` when it has not and may not or cannot get them.
pub fn require_nightly(cx: &mut Cx<'_>, components: &[&str]) -> Result<String, Stop> {
    if missing_components(components).is_some_and(|missing| missing.is_empty()) {
        return nightly_version();
    }
    if cx.options.no_install {
        let reason = format!("nightly with {} is not installed", components.join(" and "));
        return Err(Stop::unavailable(reason, NIGHTLY_LINE));
    }
    let mut cmd =
        Cmd::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]);
    if nightly_version().is_ok() {
        cmd = Cmd::new("rustup")
            .args(["component", "add", "--toolchain", "nightly"])
            .args(components.iter().copied());
    } else {
        for component in components {
            cmd = cmd.arg("-c").arg(*component);
        }
    }
    let done = cx.run(&cmd).is_ok_and(|finished| finished.success);
    if done && missing_components(components).is_some_and(|missing| missing.is_empty()) {
        return nightly_version();
    }
    let reason = format!("nightly with {} could not be installed", components.join(" and "));
    Err(Stop::unavailable(reason, NIGHTLY_LINE))
}

/// `rustc --version` of nightly.
///
/// # Errors
/// `unavailable` when there is no nightly.
pub fn nightly_version() -> Result<String, Stop> {
    version_line(&Cmd::new("rustc").args(["+nightly", "--version"]))
        .ok_or_else(|| Stop::unavailable("there is no nightly toolchain", NIGHTLY_LINE))
}

/// Those of `components` that nightly lacks; `None` where rustup or nightly itself is missing.
#[must_use]
pub fn missing_components(components: &[&str]) -> Option<Vec<String>> {
    let list =
        Cmd::new("rustup").args(["component", "list", "--toolchain", "nightly", "--installed"]);
    let output = list.command().output().ok().filter(|output| output.status.success())?;
    let installed = String::from_utf8_lossy(&output.stdout).into_owned();
    let has = |component: &str| {
        installed.lines().any(|line| {
            line == component
                || line.starts_with(&format!("{component}-x86_64"))
                || line.starts_with(&format!("{component}-aarch64"))
        })
    };
    Some(components.iter().filter(|c| !has(c)).map(ToString::to_string).collect())
}

/// The toolchain of the minimum supported version, as rustup names it, if it is there.
#[must_use]
pub fn toolchain(version: &str) -> Option<String> {
    let list = Cmd::new("rustup").args(["toolchain", "list"]).command().output().ok()?;
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| name.strip_prefix(version).is_some_and(|rest| rest.starts_with(['-', '.'])))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_a_v() {
        assert!(MDBOOK.suits("mdbook v0.5.4"));
        assert!(!MDBOOK.suits("mdbook v0.4.52"));
        assert!(B3SUM.suits("b3sum 1.8.2"));
    }

    #[test]
    fn what_cargo_installed_is_found_by_its_list() {
        let list = "[v1]\n\"cargo-careful 0.4.10 (registry+https://x)\" = [\"cargo-careful\"]\n";
        assert_eq!(CARGO_CAREFUL.listed(list).as_deref(), Some("cargo-careful 0.4.10"));
        assert_eq!(CARGO_CAREFUL.listed(&list.replace("0.4.10", "0.5.0")), None);
        assert_eq!(Tool { package: "another", ..CARGO_CAREFUL }.listed(list), None);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".crates.toml"), list).unwrap();
        let (path, _) = CARGO_CAREFUL.find(dir.path()).unwrap();
        assert_eq!(path, dir.path().join("bin/cargo-careful"));
    }

    #[test]
    fn a_program_of_the_system_is_found_by_its_version() {
        let shell = SystemTool { package: "cargo", program: "cargo" };
        assert!(shell.find().is_some_and(|version| version.contains("cargo")));
        let none = SystemTool { program: "no-such-program-of-tidegate", ..REDIS_SERVER };
        assert_eq!(none.find(), None);
        assert_eq!(REDIS_SERVER.install_line(), "apt-get install redis-server");
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        let tool = Tool { program: "no-such-program-of-tidegate", ..B3SUM };
        let dir = tempfile::tempdir().unwrap();
        assert!(tool.find(dir.path()).is_none());
    }
}
