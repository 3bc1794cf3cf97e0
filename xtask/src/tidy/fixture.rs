//! Small trees to plant violations in.

use std::{collections::BTreeMap, path::PathBuf};

use super::{Tree, Violation};
use crate::workspace::Package;

/// A tree of `files`; every folder `crates/<name>` is a published package `tidegate-<name>`.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut members: Vec<Package> = Vec::new();
    for (path, _) in files {
        let Some(rest) = path.strip_prefix("crates/") else { continue };
        let Some((folder, _)) = rest.split_once('/') else { continue };
        let name = format!("tidegate-{folder}");
        if !members.iter().any(|package| package.name == name) {
            members.push(package(folder, &serde_json::json!([])));
        }
    }
    with_members(members, files)
}

/// A tree with given packages.
pub(super) fn with_members(members: Vec<Package>, files: &[(&str, &str)]) -> Tree {
    let texts: BTreeMap<_, _> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree::new(PathBuf::from("/w"), members, texts)
}

/// The published package of `crates/<folder>` with `dependencies` as in `cargo metadata`.
pub(super) fn package(folder: &str, dependencies: &serde_json::Value) -> Package {
    serde_json::from_value(serde_json::json!({
        "name": format!("tidegate-{folder}"),
        "version": "0.1.0",
        "id": folder,
        "publish": null,
        "manifest_path": format!("/w/crates/{folder}/Cargo.toml"),
        "dependencies": dependencies,
    }))
    .unwrap()
}

/// The violations as text.
pub(super) fn found(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}

/// Runs `check` on one published source file.
pub(super) fn check_file(check: fn(&Tree) -> Vec<Violation>, text: &str) -> Vec<String> {
    found(&check(&tree(&[("crates/x/src/a.rs", text)])))
}
