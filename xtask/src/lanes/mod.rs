//! One module a lane.

pub mod cancel;
pub mod careful;
pub mod clippy;
pub mod compare;
pub mod deny;
pub mod doc;
pub mod explore;
pub mod features;
pub mod fmt;
pub mod icount;
pub mod links;
pub mod loom;
pub mod minimal;
pub mod miri;
pub mod msrv;
pub mod mutants;
pub mod semver;
pub mod shuttle;
pub mod site;
pub mod stress;
pub mod test;
pub mod tidy;
pub mod tsan;
pub mod zoo;

use std::io;

use crate::{
    outcome::Stop,
    parse::Tests,
    process::Cmd,
    sources,
    workspace::{Package, Workspace},
};

/// The members whose sources or tests contain `needle`, this program left out.
fn members_with<'w>(workspace: &'w Workspace, needle: &str) -> io::Result<Vec<&'w Package>> {
    let mut found = Vec::new();
    for package in workspace.members.iter().filter(|package| package.name != "xtask") {
        let dirs = [package.dir().join("src"), package.dir().join("tests")];
        if sources::mentions(&dirs, needle)? {
            found.push(package);
        }
    }
    Ok(found)
}

/// The published packages; there must be one, since cargo takes no name for all of them.
fn published(workspace: &Workspace) -> Result<Vec<&str>, Stop> {
    let names: Vec<&str> = workspace.published_names().collect();
    if names.is_empty() {
        return Err(Stop::fail("no crate is published"));
    }
    Ok(names)
}

/// The packages whose manifests ask for the lane; there must be one.
fn asking_for<'w>(workspace: &'w Workspace, lane: &str) -> Result<Vec<&'w str>, Stop> {
    let packages = workspace.asking_for(lane);
    if packages.is_empty() {
        return Err(Stop::fail(format!("no crate asks for lane {lane}")));
    }
    Ok(packages)
}

/// A release build without its slowest part: these tests need the optimiser, not the linker's.
fn quick_release(cmd: Cmd) -> Cmd {
    cmd.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
}

/// The verdict that all test lanes share: no failure, and at least one test.
fn all_passed(tests: &Tests, success: bool) -> Result<(), Stop> {
    if tests.failed > 0 {
        return Err(Stop::fail(format!("{} tests failed", tests.failed)));
    }
    if !success {
        return Err(Stop::fail("the test run failed"));
    }
    if tests.passed == 0 {
        return Err(Stop::fail("no test ran"));
    }
    Ok(())
}

/// As [`all_passed`], and each of `packages` ran a test.
fn each_passed(tests: &Tests, success: bool, packages: &[&str]) -> Result<(), Stop> {
    all_passed(tests, success)?;
    match packages.iter().find(|name| !tests.crates().any(|ran| ran == **name)) {
        Some(idle) => Err(Stop::fail(format!("{idle} ran no test"))),
        None => Ok(()),
    }
}

/// Each of `packages` has counted something; `idle` says what it means if it has not.
fn each_counted(counts: &[(String, u64)], packages: &[&str], idle: &str) -> Result<(), Stop> {
    let has = |package: &&str| counts.iter().any(|(name, n)| name == package && *n > 0);
    match packages.iter().find(|package| !has(package)) {
        Some(package) => Err(Stop::fail(format!("{package} {idle}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_run_is_a_failure() {
        let ran = |passed, failed| Tests { passed, failed, ..Tests::default() };
        assert!(all_passed(&ran(3, 0), true).is_ok());
        assert!(all_passed(&ran(0, 0), true).is_err());
        assert!(all_passed(&ran(3, 1), true).is_err());
        assert!(all_passed(&ran(3, 0), false).is_err());
    }

    #[test]
    fn a_crate_without_a_test_is_a_failure() {
        let mut tests = Tests { passed: 2, ..Tests::default() };
        tests.per_crate.insert("a".into(), 2);
        tests.per_crate.insert("b".into(), 0);
        assert!(each_passed(&tests, true, &["a"]).is_ok());
        assert!(each_passed(&tests, true, &["a", "b"]).is_err());
        assert!(each_passed(&tests, true, &["a", "c"]).is_err());
    }

    #[test]
    fn a_crate_that_counted_nothing_is_a_failure() {
        let output = "\
     Running unittests src/lib.rs (deps/tidegate_a-1)
     Running tests/all.rs (deps/all-1)
test cancel_a ... cancel-points: cancel_a 4
     Running unittests src/lib.rs (deps/tidegate_b-1)
cancel-points: cancel_b 0
     Running unittests src/lib.rs (deps/tidegate_c-1)
test cancel_a ... ok
";
        let points = crate::parse::counted(output, "cancel-points");
        assert_eq!(points, [("tidegate-a".into(), 4), ("tidegate-b".into(), 0)]);
        assert!(each_counted(&points, &["tidegate-a"], "").is_ok());
        assert!(each_counted(&points, &["tidegate-a", "tidegate-b"], "").is_err());
        assert!(each_counted(&points, &["tidegate-c"], "").is_err());
    }
}
