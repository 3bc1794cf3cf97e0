//! `tidy`: the rules of the house that a program can check.

use crate::{cx::Cx, outcome::Stop, tidy};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    let tree = tidy::Tree::load(workspace).map_err(Stop::fail)?;
    cx.crates(workspace.members.iter().map(|package| package.name.as_str()));
    cx.report.explored = tree.files() as u64;
    "files".clone_into(&mut cx.report.unit);
    cx.report.command.push("cargo xtask tidy".into());
    let mut violations = Vec::new();
    for check in tidy::CHECKS {
        let found = (check.run)(&tree);
        cx.note(format_args!("{}: {} found", check.name, found.len()));
        cx.report.tests += 1;
        violations.extend(found);
    }
    for package in workspace.published() {
        cx.report.tests += 1;
        violations.extend(tidy::budget::check(cx, &package.name)?);
    }
    for violation in &violations {
        cx.note(format_args!("{violation}"));
    }
    match violations.len() {
        0 => Ok(()),
        1 => Err(Stop::fail(violations[0].to_string())),
        n => Err(Stop::fail(format!("{n} rules broken, the first: {}", violations[0]))),
    }
}
