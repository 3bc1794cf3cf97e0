//! `minimal-versions`: the published crates build with the oldest versions they say they take.
//!
//! What is checked is a copy of the crates with a lock file of its own: what users get, without
//! our tests, benchmarks and tools, whose dependencies would raise the versions again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{cx::Cx, outcome::Stop, process::Cmd, sources, tools, workspace::Package};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    let workspace = cx.workspace;
    // Picking the oldest versions is an option of nightly; the build is that of the toolchain in use.
    tools::require_nightly(cx, &[])?;
    let packages: Vec<&Package> = workspace.published().collect();
    if packages.is_empty() {
        return Err(Stop::fail("there is no published crate"));
    }
    let copy = cx.target("minimal-versions").join("tree");
    copy_crates(&workspace.root, &copy, &packages)?;
    let manifest = copy.join("Cargo.toml").into_os_string();
    let resolve = Cmd::cargo_of("nightly")
        .args(["generate-lockfile", "-Zdirect-minimal-versions", "--manifest-path"])
        .arg(&manifest);
    cx.flags(&resolve);
    cx.check(&resolve)?;
    let build = Cmd::cargo()
        .args(["check", "--locked", "--lib", "--all-features", "--manifest-path"])
        .arg(&manifest)
        .packages(workspace.published_names())
        .env("CARGO_TARGET_DIR", cx.target("minimal-versions").join("build"));
    cx.check(&build)?;
    cx.crates(workspace.published_names());
    let lock = fs::read_to_string(copy.join("Cargo.lock"))?;
    cx.report.explored = lock.matches("[[package]]").count() as u64;
    "locked packages".clone_into(&mut cx.report.unit);
    Ok(())
}

/// Writes the workspace `root` anew into `copy`, with these packages alone.
fn copy_crates(root: &Path, copy: &Path, packages: &[&Package]) -> io::Result<()> {
    match fs::remove_dir_all(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(copy)?;
    let mut members = Vec::new();
    for package in packages {
        let below = package.dir().strip_prefix(root).map_err(io::Error::other)?;
        members.push(below.display().to_string());
        let mut files = sources::files(&package.dir().join("src"), "rs")?;
        files.extend(sources::files(package.dir(), "md")?);
        for file in files {
            let to: PathBuf = copy.join(file.strip_prefix(root).map_err(io::Error::other)?);
            fs::create_dir_all(to.parent().unwrap_or(copy))?;
            fs::copy(file, to)?;
        }
        let text = fs::read_to_string(&package.manifest_path)?;
        fs::create_dir_all(copy.join(below))?;
        fs::write(copy.join(below).join("Cargo.toml"), without_tests(&text))?;
    }
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    fs::write(copy.join("Cargo.toml"), with_members(&text, &members))
}

/// A manifest without its dev-dependencies and the targets that need them.
fn without_tests(manifest: &str) -> String {
    without_tables(manifest, |table| {
        table.ends_with("dev-dependencies")
            || table.contains("dev-dependencies.")
            || ["bench", "test", "example"].contains(&table)
    })
}

fn without_tables(manifest: &str, unwanted: impl Fn(&str) -> bool) -> String {
    let mut kept = String::new();
    let mut keeps = true;
    for line in manifest.lines() {
        if line.starts_with('[') {
            let table = line.split('#').next().unwrap_or(line).trim();
            keeps = !unwanted(table.trim_matches(['[', ']']));
        }
        if keeps {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The root manifest with other members.
fn with_members(manifest: &str, members: &[String]) -> String {
    let rest = without_tables(manifest, |table| table == "workspace");
    format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_need_is_left_out() {
        let manifest = "\
[package]
name = \"x\"
[dependencies] # ours
a = \"1\"
[dev-dependencies]
b = \"1\"
[dev-dependencies.c]
version = \"1\"
[target.'cfg(unix)'.dev-dependencies]
d = \"1\"
[target.'cfg(tidegate_loom)'.dependencies]
loom = \"1\"
[[bench]]
name = \"y\"
[lints]
workspace = true
";
        let expected = "\
[package]
name = \"x\"
[dependencies] # ours
a = \"1\"
[target.'cfg(tidegate_loom)'.dependencies]
loom = \"1\"
[lints]
workspace = true
";
        assert_eq!(without_tests(manifest), expected);
    }

    #[test]
    fn the_copy_has_the_members_it_is_given() {
        let manifest = "[workspace]\nmembers = [\"crates/*\", \"xtask\"]\n[workspace.package]\nversion = \"1\"\n";
        assert_eq!(
            with_members(manifest, &["crates/a".into(), "crates/b".into()]),
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/a\", \"crates/b\"]\n\n\
             [workspace.package]\nversion = \"1\"\n"
        );
    }
}
