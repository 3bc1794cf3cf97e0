//! Writes the workspace of a variant.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Fault, Files, base};
use crate::{outcome::Stop, workspace::Workspace};

/// The settings that a variant shares with the workspace: a lane is tested as it is set.
const SETTINGS: [&str; 4] = ["clippy.toml", "deny.toml", "rustfmt.toml", "docs/book.toml"];
/// Where the lints begin; profiles follow.
const LINTS: &str = "[workspace.lints.rust]";

/// The files of a variant.
///
/// `variant` becomes part of the version: cargo takes two packages of the same name, version and
/// path below their roots for the same one, and would run the tests of one for the other's.
pub(super) fn files(
    workspace: &Workspace,
    variant: &str,
    fault: &Fault,
    own: Files,
) -> Result<BTreeMap<String, String>, Stop> {
    let manifest = fs::read_to_string(workspace.root.join("Cargo.toml"))?;
    let settings = manifest
        .find(LINTS)
        .map(|at| &manifest[at..])
        .ok_or_else(|| Stop::fail(format!("Cargo.toml has no {LINTS}")))?;
    let crates = workspace.root.join("crates");
    let filled = |text: &str| {
        text.replace("{manifest}", fault.manifest)
            .replace("{settings}", settings)
            .replace("{version}", &format!("0.1.0-{variant}"))
            .replace("{crates}", &crates.to_string_lossy())
    };
    let mut files = BTreeMap::new();
    for name in SETTINGS {
        files.insert(name.to_owned(), fs::read_to_string(workspace.root.join(name))?);
    }
    for (name, text) in base::FILES.iter().chain(fault.files).chain(own) {
        if text.is_empty() {
            files.remove(*name);
        } else {
            files.insert((*name).to_owned(), filled(text));
        }
    }
    Ok(files)
}

/// Makes `root` hold `files` and nothing else but what was built; a file that is right already is
/// left alone, so that it is not built again.
pub(super) fn write(root: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    fs::create_dir_all(root)?;
    remove_others(root, root, files)?;
    for (name, text) in files {
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

fn remove_others(root: &Path, dir: &Path, files: &BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if below != "target" {
                remove_others(root, &path, files)?;
                if fs::read_dir(&path)?.next().is_none() {
                    fs::remove_dir(&path)?;
                }
            }
        } else if !files.contains_key(&below) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Reads the workspace at `root`, which builds in `target`, and locks its dependencies to the
/// versions that `workspace` has.
pub(super) fn load(workspace: &Workspace, root: &Path, target: PathBuf) -> io::Result<Workspace> {
    fs::copy(workspace.root.join("Cargo.lock"), root.join("Cargo.lock"))?;
    workspace.beside(root, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_left_alone_and_the_rest_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let files = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        write(root, &files(&[("a/b.rs", "1"), ("c.rs", "2"), ("old/d.rs", "3")])).unwrap();
        fs::create_dir_all(root.join("target/debug")).unwrap();
        fs::write(root.join("target/debug/x"), "built").unwrap();
        let before = fs::metadata(root.join("a/b.rs")).unwrap().modified().unwrap();
        write(root, &files(&[("a/b.rs", "1"), ("c.rs", "4")])).unwrap();
        assert_eq!(fs::metadata(root.join("a/b.rs")).unwrap().modified().unwrap(), before);
        assert_eq!(fs::read_to_string(root.join("c.rs")).unwrap(), "4");
        assert!(!root.join("old").exists());
        assert_eq!(fs::read_to_string(root.join("target/debug/x")).unwrap(), "built");
    }
}
