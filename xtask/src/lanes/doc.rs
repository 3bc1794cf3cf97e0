//! `doc`: the API documentation of the published crates builds without a warning.

use crate::{cx::Cx, outcome::Stop, process::Cmd, sources};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    build(cx)?;
    cx.crates(workspace.published_names());
    let mut pages = 0;
    for name in workspace.published_names() {
        let dir = workspace.target.join("doc").join(name.replace('-', "_"));
        let count = sources::files(&dir, "html")?.len() as u64;
        if count == 0 {
            return Err(Stop::fail(format!("{name} has no page")));
        }
        pages += count;
    }
    cx.report.explored = pages;
    "pages".clone_into(&mut cx.report.unit);
    Ok(())
}

/// Builds the documentation into `target/doc`; lane `site` shows the same pages.
///
/// # Errors
/// Why it could not be built.
pub fn build(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let cmd = Cmd::cargo()
        .args(["doc", "--locked", "--no-deps", "--all-features", "--lib"])
        .packages(super::published(cx.workspace)?)
        .env("RUSTDOCFLAGS", "-D warnings");
    cx.flags(&cmd);
    cx.check(&cmd).map(drop)
}
