//! `clippy`: no lint fires.

use crate::{cx::Cx, outcome::Stop, process::Cmd};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    // A component is asked for through its subcommand, which cargo does not list as missing.
    if !cx.run(&Cmd::cargo().args(["clippy", "--version"]))?.success {
        return Err(Stop::unavailable("clippy is not installed", "rustup component add clippy"));
    }
    let all = Cmd::cargo()
        .args(["clippy", "--locked", "--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"]);
    cx.check(&all)?;
    cx.crates(workspace.members.iter().map(|package| package.name.as_str()));
    // What users with `default-features = false` compile is seen by no other lane.
    let bare = Cmd::cargo()
        .args(["clippy", "--locked", "--lib", "--no-default-features"])
        .packages(workspace.published_names())
        .args(["--", "-D", "warnings"]);
    cx.check(&bare)?;
    cx.report.explored = 2;
    "feature sets".clone_into(&mut cx.report.unit);
    Ok(())
}
