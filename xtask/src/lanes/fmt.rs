//! `fmt`: rustfmt finds nothing to change.

use crate::{cx::Cx, outcome::Stop, process::Cmd, sources, tools};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let files = sources::files(&cx.workspace.root, "rs")?;
    if files.is_empty() {
        return Err(Stop::fail("there is no Rust file"));
    }
    let workspace = cx.workspace;
    cx.crates(workspace.members.iter().map(|package| package.name.as_str()));
    cx.report.explored = files.len() as u64;
    "files".clone_into(&mut cx.report.unit);
    tools::require_component(cx, "rustfmt", "fmt")?;
    if cx.run(&Cmd::cargo().args(["fmt", "--all", "--check"]))?.success {
        return Ok(());
    }
    Err(Stop::fail("files are not formatted: run `cargo fmt --all`"))
}
