//! `clippy`: no lint fires.

use crate::{cx::Cx, outcome::Stop, process::Cmd, tools};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    tools::require_component(cx, "clippy", "clippy")?;
    let all = Cmd::cargo()
        .args(["clippy", "--locked", "--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"]);
    cx.check(&all)?;
    cx.crates(workspace.members.iter().map(|package| package.name.as_str()));
    // What users with `default-features = false` compile is seen by no other lane.
    let bare = Cmd::cargo()
        .args(["clippy", "--locked", "--lib", "--no-default-features"])
        .packages(super::published(workspace)?)
        .args(["--", "-D", "warnings"]);
    cx.check(&bare)?;
    cx.report.explored = 2;
    "feature sets".clone_into(&mut cx.report.unit);
    Ok(())
}
