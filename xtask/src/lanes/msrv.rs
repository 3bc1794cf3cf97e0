//! `msrv`: the published crates build with the Rust version they state.
//!
//! They are checked by that toolchain. Where it cannot be had, lints and the stated versions of
//! all dependencies are looked at instead, and the lane is unavailable at best.

use crate::{
    cx::Cx,
    outcome::Stop,
    process::Cmd,
    tools,
    workspace::{Package, Workspace},
};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    let version = stated(workspace)?;
    cx.crates(workspace.published_names());
    if toolchain(cx, &version) {
        return check(cx, &version);
    }
    static_check(cx, &version)?;
    let install = format!("rustup toolchain install {version} --profile minimal");
    Err(Stop::unavailable(format_args!("no {version} toolchain: a static check alone"), install))
}

/// The one version that all published crates state.
fn stated(workspace: &Workspace) -> Result<String, Stop> {
    let mut found: Option<&str> = None;
    for package in workspace.published() {
        let version = package
            .rust_version
            .as_deref()
            .ok_or_else(|| Stop::fail(format!("{} states no rust-version", package.name)))?;
        if found.is_some_and(|found| found != version) {
            return Err(Stop::fail(format!("{} states another rust-version", package.name)));
        }
        found = Some(version);
    }
    found.map(str::to_owned).ok_or_else(|| Stop::fail("there is no published crate"))
}

/// Whether the toolchain is there, installed if need be.
fn toolchain(cx: &mut Cx<'_>, version: &str) -> bool {
    if tools::toolchain(version).is_some() {
        return true;
    }
    if cx.options.no_install {
        return false;
    }
    let cmd = Cmd::new("rustup").args(["toolchain", "install", version, "--profile", "minimal"]);
    cx.run(&cmd).is_ok_and(|finished| finished.success) && tools::toolchain(version).is_some()
}

fn check(cx: &mut Cx<'_>, version: &str) -> Result<(), Stop> {
    let cmd = Cmd::cargo_of(version)
        .args(["check", "--locked", "--lib"])
        .packages(cx.workspace.published_names())
        .env("CARGO_TARGET_DIR", cx.target("msrv"))
        // Set by rustup for the toolchain that runs this program; it would win over `+version`
        // for the tools cargo starts.
        .env_remove("RUSTC")
        .env_remove("RUSTDOC");
    cx.check(&cmd)?;
    cx.report.reason = format!("built with {version}");
    Ok(())
}

fn static_check(cx: &mut Cx<'_>, version: &str) -> Result<(), Stop> {
    let workspace = cx.workspace;
    let lints = Cmd::cargo()
        .args(["clippy", "--locked", "--lib"])
        .packages(workspace.published_names())
        .args(["--", "-D", "clippy::incompatible_msrv"]);
    cx.check(&lints)?;
    let tree = Cmd::cargo()
        .args(["tree", "--locked", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .packages(workspace.published_names());
    let used = cx.check(&tree)?;
    let graph = workspace.graph()?;
    let (checked, newer) = newer_than(&graph, &used, version);
    cx.report.explored = checked;
    "dependencies".clone_into(&mut cx.report.unit);
    if checked == 0 {
        return Err(Stop::fail("no dependency was looked at"));
    }
    match newer.first() {
        Some(first) => Err(Stop::fail(format!("needs a newer Rust than {version}: {first}"))),
        None => Ok(()),
    }
}

/// How many packages of `used` (lines `name vX.Y.Z`) were looked at, and those that state a newer
/// version than `msrv`.
fn newer_than(graph: &[Package], used: &str, msrv: &str) -> (u64, Vec<String>) {
    let mut lines: Vec<&str> = used.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut checked = 0;
    let mut newer = Vec::new();
    for package in graph {
        let name = format!("{} v{}", package.name, package.version);
        if !lines.iter().any(|line| *line == name || line.starts_with(&format!("{name} "))) {
            continue;
        }
        checked += 1;
        if let Some(states) = &package.rust_version {
            if numbers(states) > numbers(msrv) {
                newer.push(format!("{name} ({states})"));
            }
        }
    }
    (checked, newer)
}

fn numbers(version: &str) -> [u64; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, rust_version: Option<&str>) -> Package {
        let json = serde_json::json!({
            "name": name, "version": "1.2.3", "id": name, "publish": null,
            "rust_version": rust_version, "manifest_path": "/x/Cargo.toml", "dependencies": []
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn only_used_packages_count_and_newer_ones_are_named() {
        let graph = [
            package("old", Some("1.56")),
            package("same", Some("1.85.0")),
            package("new", Some("1.88")),
            package("unused", Some("1.90")),
            package("silent", None),
        ];
        let used =
            "old v1.2.3\nsame v1.2.3 (*)\nnew v1.2.3 (proc-macro)\nsilent v1.2.3\nold v1.2.3\n";
        let (checked, newer) = newer_than(&graph, used, "1.85");
        assert_eq!((checked, newer), (4, vec!["new v1.2.3 (1.88)".to_owned()]));
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.100") > numbers("1.85.1"));
        assert_eq!(numbers("1.85"), numbers("1.85.0"));
    }
}
