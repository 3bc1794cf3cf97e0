//! `doctor`: which tools are here, and how to get the rest.

use std::{io, process::ExitCode};

use crate::{
    process::Cmd,
    term,
    tools::{
        self, B3SUM, CARGO_CAREFUL, CARGO_DENY, CARGO_MUTANTS, CARGO_SEMVER_CHECKS, MDBOOK,
        NIGHTLY_LINE, REDIS_SERVER, Tool,
    },
    workspace::{Workspace, version_line},
};

/// What is installed from the registry, and for which lane.
const TOOLS: [(Tool, &str); 6] = [
    (MDBOOK, "site"),
    (CARGO_DENY, "deny"),
    (B3SUM, "compare"),
    (CARGO_SEMVER_CHECKS, "semver"),
    (CARGO_CAREFUL, "careful"),
    (CARGO_MUTANTS, "mutants"),
];

/// The lanes that run nightly.
const OF_NIGHTLY: &str = "miri, tsan, careful, minimal-versions";

/// Prints one line a tool; fails when one is missing that no lane can install.
///
/// # Errors
/// When the workspace cannot be read.
pub fn run() -> io::Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut blocked = false;
    let mut say = |name: &str, found: Option<String>, lanes: &str, install: &str, must: bool| {
        if let Some(found) = found {
            term::out(format_args!("ok       {name:<19} {found}"));
        } else {
            blocked |= must;
            let state = if must { "MISSING" } else { "missing" };
            term::out(format_args!("{state}  {name:<19} for {lanes}; install: {install}"));
        }
    };
    let cargo = |subcommand: &str| version_line(&Cmd::cargo().args([subcommand, "--version"]));
    let rustc = version_line(&Cmd::new("rustc").arg("--version"));
    say("rustc", rustc, "every lane", "see rustup.rs", true);
    say("rustfmt", cargo("fmt"), "fmt", "rustup component add rustfmt", true);
    say("clippy", cargo("clippy"), "clippy, features, msrv", "rustup component add clippy", true);
    let git = version_line(&Cmd::new("git").arg("--version"));
    say("git", git, "semver, mutants", "by the system's packages", false);
    let valgrind = version_line(&Cmd::new("valgrind").arg("--version"));
    say("valgrind", valgrind, "icount", "apt-get install valgrind", false);
    say("redis-server", REDIS_SERVER.find(), "test", &REDIS_SERVER.install_line(), false);
    let nextest = cargo("nextest");
    say(
        "cargo-nextest",
        nextest,
        "test (else cargo test)",
        "cargo install --locked cargo-nextest",
        false,
    );
    let nightly = tools::nightly_version().ok();
    say("nightly", nightly, OF_NIGHTLY, NIGHTLY_LINE, false);
    for component in ["miri", "rust-src"] {
        let missing = tools::missing_components(&[component]);
        let found = missing.filter(Vec::is_empty).map(|_| String::from("of nightly"));
        say(component, found, OF_NIGHTLY, NIGHTLY_LINE, false);
    }
    for (tool, lanes) in TOOLS {
        let found = tool
            .find(&workspace.tools())
            .map(|(path, version)| format!("{version} ({})", path.display()));
        say(tool.program, found, lanes, &tool.install_line(), false);
    }
    let stated = workspace.published().find_map(|package| package.rust_version.clone());
    if let Some(version) = stated {
        let install = format!("rustup toolchain install {version} --profile minimal");
        say(
            &format!("rust {version}"),
            tools::toolchain(&version),
            "msrv (else static)",
            &install,
            false,
        );
    }
    term::out(format_args!(
        "\nlanes install what is missing themselves, unless --no-install is given"
    ));
    Ok(if blocked { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
