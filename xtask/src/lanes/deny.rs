//! `deny`: licences, banned and duplicate crates, sources. No network: advisories are left out.

use crate::{cx::Cx, outcome::Stop, process::Cmd, tools::CARGO_DENY};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    let program = CARGO_DENY.require(cx)?;
    let cmd = Cmd::new(program)
        .args(["--all-features", "--locked", "check"])
        .args(["bans", "licenses", "sources"]);
    let output = cx.check(&cmd)?;
    let done = ["bans ok", "licenses ok", "sources ok"];
    cx.report.tests = done.iter().filter(|line| output.contains(*line)).count() as u64;
    if cx.report.tests != done.len() as u64 {
        return Err(Stop::fail("cargo-deny did not report all three checks"));
    }
    cx.crates(workspace.members.iter().map(|package| package.name.as_str()));
    let lock = std::fs::read_to_string(workspace.root.join("Cargo.lock"))?;
    cx.report.explored = lock.matches("[[package]]").count() as u64;
    "locked packages".clone_into(&mut cx.report.unit);
    Ok(())
}
