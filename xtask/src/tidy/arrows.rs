//! Who may depend on whom.

use super::{Tree, Violation};
use crate::workspace::{Dependency, Package};

const CORE: &str = "tidegate-core";
const TESTKIT: &str = "tidegate-testkit";

/// The two arrows besides those to core; both are features, off by default.
const FEATURE_ARROWS: [(&str, &str); 2] =
    [("tidegate-conn-pool", "tidegate-breaker"), ("tidegate-tcp-server", "tidegate-ratelimit")];

/// An attribute has to come from a crate of its own kind, which is one with that of its users.
const MACROS: [(&str, &str); 1] = [(TESTKIT, "tidegate-testkit-macros")];

/// A published crate depends on core and on no other of ours.
#[must_use]
pub fn arrows(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in tree.members.iter().filter(|package| package.published()) {
        for dependency in package.dependencies.iter().filter(|d| ours(tree, d)) {
            if dependency.kind.as_deref() == Some("dev") {
                continue;
            }
            let arrow = (package.name.as_str(), dependency.name.as_str());
            if FEATURE_ARROWS.contains(&arrow) {
                if !dependency.optional || default_reaches(package, &dependency.name) {
                    let what = format!("{} is a feature that is off by default", dependency.name);
                    found.push(Violation::of(&package.name, what));
                }
            } else if !MACROS.contains(&arrow) && (dependency.name != CORE || package.name == CORE)
            {
                let what = format!("must not depend on {}", dependency.name);
                found.push(Violation::of(&package.name, what));
            }
        }
    }
    found
}

/// Whether a default feature switches `dependency` on.
fn default_reaches(package: &Package, dependency: &str) -> bool {
    let mut pending = vec!["default"];
    let mut seen = Vec::new();
    while let Some(feature) = pending.pop() {
        if seen.contains(&feature) {
            continue;
        }
        seen.push(feature);
        for value in package.features.get(feature).into_iter().flatten() {
            let name = value.strip_prefix("dep:").unwrap_or(value);
            // `crate?/feature` does not switch the crate on.
            let name = name.split('/').next().unwrap_or(name);
            if name == dependency {
                return true;
            }
            pending.push(name);
        }
    }
    false
}

/// The testkit is a dev-dependency by path, so that it is never needed to build a release, and
/// core's unit tests do without it: core would be compiled twice and its types would differ.
#[must_use]
pub fn testkit(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in &tree.members {
        for dependency in package.dependencies.iter().filter(|d| d.name == TESTKIT) {
            let dev = dependency.kind.as_deref() == Some("dev");
            // What is not published may use anything.
            if !dev && package.published() {
                found.push(Violation::of(&package.name, "testkit is a dev-dependency only"));
            } else if dev && dependency.req != "*" {
                found.push(Violation::of(
                    &package.name,
                    "testkit is given by path, without a version",
                ));
            }
        }
    }
    for source in tree.sources.iter().filter(|s| s.folder == "crates/core" && s.in_src) {
        for (index, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if code.contains("tidegate_testkit") {
                let what = "core uses testkit from tests/ only";
                found.push(Violation::at(&source.path, index + 1, what));
            }
        }
    }
    found
}

/// A crate with tests of its own has them find what plain ones do not: leaks, deadlocks, races,
/// lost cancellations.
#[must_use]
pub fn testkit_used(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in tree.members.iter().filter(|package| package.name != TESTKIT) {
        let folder = tree.folder(package);
        let tests = format!("{folder}/tests/");
        let mut sources =
            tree.sources.iter().filter(|source| source.path.starts_with(&tests)).peekable();
        // What is no crate of ours, such as this program, runs processes.
        if !folder.starts_with("crates/") || sources.peek().is_none() {
            continue;
        }
        let depends = package.dependencies.iter().any(|dependency| dependency.name == TESTKIT);
        if !depends || !sources.any(|source| source.text.contains("tidegate_testkit")) {
            let what =
                "use tidegate-testkit, as a dev-dependency: `bubble`, `cancel_everywhere`, ..";
            found.push(Violation::of(tests, what));
        }
    }
    found
}

/// A package is called after its folder, takes the workspace's lints and version of Rust.
#[must_use]
pub fn manifests(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in &tree.members {
        let folder = tree.folder(package);
        let path = format!("{folder}/Cargo.toml");
        let short = folder.rsplit('/').next().unwrap_or(&folder);
        if package.published() && package.name != format!("tidegate-{short}") {
            found.push(Violation::of(
                &path,
                format!("the package of this folder is tidegate-{short}"),
            ));
        }
        let Some(text) = tree.texts.get(&path) else { continue };
        if !text.contains("[lints]\nworkspace = true") {
            found.push(Violation::of(&path, "take the workspace's lints"));
        }
        if package.published() && !text.contains("rust-version.workspace = true") {
            found.push(Violation::of(&path, "take the workspace's rust-version"));
        }
    }
    found
}

fn ours(tree: &Tree, dependency: &Dependency) -> bool {
    tree.members.iter().any(|package| package.name == dependency.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::fixture::{found, package, tree, with_members},
        *,
    };

    fn three(x: &serde_json::Value) -> Vec<Package> {
        let core = package("core", &json!([]));
        let breaker = package("breaker", &json!([]));
        vec![core, breaker, package("conn-pool", x)]
    }

    #[test]
    fn the_arrow_to_core_is_free_and_others_are_not() {
        let clean = json!([{"name": "tidegate-core", "kind": null, "req": "^0.1"},
                           {"name": "tidegate-breaker", "kind": "dev", "req": "*"},
                           {"name": "tokio", "kind": null, "req": "^1"}]);
        assert!(arrows(&with_members(three(&clean), &[])).is_empty());
        let mut members = three(&json!([]));
        members[1] = package(
            "breaker",
            &json!([{"name": "tidegate-conn-pool", "kind": null, "req": "^0.1"}]),
        );
        assert_eq!(
            found(&arrows(&with_members(members, &[]))),
            ["tidegate-breaker: must not depend on tidegate-conn-pool"]
        );
    }

    #[test]
    fn core_depends_on_none_of_ours() {
        let mut members = three(&json!([]));
        members[0] =
            package("core", &json!([{"name": "tidegate-breaker", "kind": "build", "req": "*"}]));
        assert_eq!(arrows(&with_members(members, &[])).len(), 1);
    }

    #[test]
    fn macros_are_for_their_own_crate() {
        let macros = json!([{"name": "tidegate-testkit-macros", "kind": null, "req": "=0.1.0"}]);
        let found = |user: &str| {
            let members = vec![package("testkit-macros", &json!([])), package(user, &macros)];
            arrows(&with_members(members, &[])).len()
        };
        assert_eq!((found("testkit"), found("breaker")), (0, 1));
    }

    #[test]
    fn the_feature_arrows_are_off_by_default() {
        let arrow = |optional: bool| json!([{"name": "tidegate-breaker", "kind": null, "req": "^0.1", "optional": optional}]);
        assert_eq!(arrows(&with_members(three(&arrow(false)), &[])).len(), 1);
        let mut members = three(&arrow(true));
        assert!(arrows(&with_members(members.clone(), &[])).is_empty());
        members[2].features.insert("default".into(), vec!["guard".into()]);
        members[2].features.insert("guard".into(), vec!["dep:tidegate-breaker".into()]);
        assert_eq!(arrows(&with_members(members, &[])).len(), 1);
    }

    #[test]
    fn the_testkit_is_a_dev_dependency_without_a_version() {
        let of = |kind: serde_json::Value, req: &str| {
            let json = json!([{"name": "tidegate-testkit", "kind": kind, "req": req}]);
            testkit(&with_members(vec![package("x", &json)], &[])).len()
        };
        assert_eq!(of(json!("dev"), "*"), 0);
        assert_eq!(of(json!("dev"), "^0.1"), 1);
        assert_eq!(of(json!(null), "*"), 1);
    }

    #[test]
    fn core_uses_the_testkit_from_tests_only() {
        let text = "use tidegate_testkit::Leak;";
        assert!(testkit(&tree(&[("crates/core/tests/all.rs", text)])).is_empty());
        assert!(testkit(&tree(&[("crates/core/src/a.rs", "// tidegate_testkit")])).is_empty());
        assert_eq!(testkit(&tree(&[("crates/core/src/a.rs", text)])).len(), 1);
    }

    #[test]
    fn manifests_take_the_workspaces_settings() {
        let good = "rust-version.workspace = true\n[lints]\nworkspace = true\n";
        assert!(manifests(&tree(&[("crates/x/Cargo.toml", good)])).is_empty());
        assert_eq!(manifests(&tree(&[("crates/x/Cargo.toml", "[package]\n")])).len(), 2);
        let mut member = package("x", &json!([]));
        member.name = "tidegate-y".into();
        assert_eq!(manifests(&with_members(vec![member], &[])).len(), 1);
    }

    #[test]
    fn tests_use_the_testkit() {
        let dev = json!([{"name": "tidegate-testkit", "kind": "dev", "req": "*"}]);
        let check = |dependencies: &serde_json::Value, path: &str, text: &str| {
            found(&testkit_used(&with_members(vec![package("x", dependencies)], &[(path, text)])))
        };
        let (path, text) = ("crates/x/tests/all/a.rs", "use tidegate_testkit::bubble;");
        assert!(check(&dev, path, text).is_empty());
        assert_eq!(check(&json!([]), path, text).len(), 1);
        assert_eq!(check(&dev, path, "use tokio::spawn;").len(), 1);
        assert!(check(&json!([]), "crates/x/src/lib.rs", "").is_empty());
    }
}
