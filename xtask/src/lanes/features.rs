//! `features`: the published crates build with each feature alone, and with none.

use std::collections::BTreeSet;

use crate::{cx::Cx, outcome::Stop, process::Cmd, profile::Profile, tools, workspace::Package};

/// Runs the lane.
///
/// # Errors
/// Why the lane did not pass.
pub fn run(cx: &mut Cx<'_>) -> Result<(), Stop> {
    tools::require_component(cx, "clippy", "clippy")?;
    "feature sets".clone_into(&mut cx.report.unit);
    let workspace = cx.workspace;
    let profile = cx.options.profile;
    for package in workspace.published() {
        for set in sets(package, profile) {
            // What is unused without a feature is a warning, which a mere check lets pass.
            let cmd = Cmd::cargo()
                .args(["clippy", "--locked", "--lib", "--no-default-features", "-p"])
                .arg(&package.name)
                .args((!set.is_empty()).then(|| format!("--features={}", set.join(","))))
                .args(["--", "-D", "warnings"]);
            cx.check(&cmd)?;
            cx.report.explored += 1;
        }
        cx.crates([package.name.as_str()]);
    }
    match cx.report.explored {
        0 => Err(Stop::fail("there is no published crate")),
        _ => Ok(()),
    }
}

/// No feature, and each alone; the nightly profile adds every pair.
fn sets(package: &Package, profile: Profile) -> Vec<Vec<&str>> {
    // `default` is what the other lanes build.
    let features: Vec<&str> =
        package.features.keys().map(String::as_str).filter(|name| *name != "default").collect();
    let mut sets = BTreeSet::from([Vec::new()]);
    for (at, &one) in features.iter().enumerate() {
        sets.insert(vec![one]);
        if profile == Profile::Nightly {
            sets.extend(features[at + 1..].iter().map(|&other| vec![one, other]));
        }
    }
    sets.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_taken_alone_and_at_night_in_pairs() {
        let package: Package = serde_json::from_value(serde_json::json!({
            "name": "x", "version": "0.1.0", "id": "x", "publish": null, "dependencies": [],
            "manifest_path": "/x/Cargo.toml",
            "features": {"default": ["b"], "a": [], "b": [], "c": ["a"]},
        }))
        .unwrap();
        let shown = |profile| -> Vec<String> {
            sets(&package, profile).iter().map(|set| set.join("+")).collect()
        };
        assert_eq!(shown(Profile::Pr), ["", "a", "b", "c"]);
        assert_eq!(shown(Profile::Nightly), ["", "a", "a+b", "a+c", "b", "b+c", "c"]);
    }
}
