//! The workspace as `cargo metadata` tells it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize;

use crate::process::Cmd;

/// A dependency as declared in a manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// Behind a feature.
    #[serde(default)]
    pub optional: bool,
    /// The version requirement; `*` where none is given.
    pub req: String,
    /// Where it lies, for one of ours.
    pub path: Option<PathBuf>,
    /// A platform or cfg it is limited to.
    pub target: Option<String>,
}

/// A build target of a package.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// What it is called on the command line of cargo.
    pub name: String,
    /// `lib`, `bin`, `test`, ...
    pub kind: Vec<String>,
    /// The root source file.
    pub src_path: PathBuf,
}

/// A package.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The identifier in lists of packages.
    pub id: String,
    /// `Some([])` where publishing is forbidden.
    pub publish: Option<Vec<String>>,
    /// The declared MSRV.
    pub rust_version: Option<String>,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// The declared dependencies of all kinds.
    pub dependencies: Vec<Dependency>,
    /// The declared features.
    #[serde(default)]
    pub features: BTreeMap<String, Vec<String>>,
    /// The build targets.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// What the manifest says to us.
    #[serde(default)]
    metadata: Option<Said>,
}

/// `[package.metadata]`, which other tools use, too.
#[derive(Clone, Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    tidegate: Ours,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Ours {
    #[serde(default)]
    lanes: Vec<String>,
}

impl Package {
    /// Whether users get it from the registry.
    #[must_use]
    pub fn published(&self) -> bool {
        self.publish.is_none()
    }

    /// Whether its manifest asks for the lane: `package.metadata.tidegate.lanes = ["miri"]`.
    #[must_use]
    pub fn asks_for(&self, lane: &str) -> bool {
        self.metadata.iter().any(|said| said.tidegate.lanes.iter().any(|name| name == lane))
    }

    /// The directory of its manifest.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// Whether it has a library.
    #[must_use]
    pub fn has_lib(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "lib"))
    }
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    #[serde(default)]
    workspace_default_members: Vec<String>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

/// A workspace: the one this program was started in, or one that was made to test a lane.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The directory of the root manifest.
    pub root: PathBuf,
    /// Where builds go.
    pub target: PathBuf,
    /// Where the builds of lanes with flags of their own go, and tools.
    pub builds: PathBuf,
    /// Our own packages.
    pub members: Vec<Package>,
    /// The names of the default members.
    pub defaults: Vec<String>,
}

impl Workspace {
    /// Reads the workspace of the current directory.
    ///
    /// # Errors
    /// When `cargo metadata` fails or prints something else.
    pub fn load() -> io::Result<Self> {
        Self::from_json(&metadata(Path::new("."), &["--no-deps"])?)
    }

    /// Reads the workspace at `root`, which builds in `target`, and brings its lock file up to date.
    /// What takes long to build for a lane with flags of its own, such as a standard library, and
    /// tools are shared with this one.
    ///
    /// # Errors
    /// As [`Workspace::load`].
    pub fn beside(&self, root: &Path, target: PathBuf) -> io::Result<Self> {
        let other = Self::from_json(&metadata(root, &[])?)?;
        Ok(Self { target, builds: self.builds.clone(), ..other })
    }

    fn from_json(json: &[u8]) -> io::Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json)?;
        let name_of = |id: &String| {
            metadata.packages.iter().find(|package| package.id == *id).map(|p| p.name.clone())
        };
        let defaults = metadata.workspace_default_members.iter().filter_map(name_of).collect();
        let mut members = metadata.packages;
        members.retain(|package| metadata.workspace_members.contains(&package.id));
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            root: metadata.workspace_root,
            builds: metadata.target_directory.clone(),
            target: metadata.target_directory,
            members,
            defaults,
        })
    }

    /// Every package of the dependency graph.
    ///
    /// # Errors
    /// As [`Workspace::load`].
    pub fn graph(&self) -> io::Result<Vec<Package>> {
        let json = metadata(&self.root, &["--locked"])?;
        Ok(serde_json::from_slice::<Metadata>(&json)?.packages)
    }

    /// The published packages, sorted by name.
    pub fn published(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter(|package| package.published())
    }

    /// The names of the published packages.
    pub fn published_names(&self) -> impl Iterator<Item = &str> {
        self.published().map(|package| package.name.as_str())
    }

    /// The packages whose manifests ask for the lane.
    #[must_use]
    pub fn asking_for(&self, lane: &str) -> Vec<&str> {
        let asking = self.members.iter().filter(|package| package.asks_for(lane));
        asking.map(|package| package.name.as_str()).collect()
    }

    /// The directory of reports and logs.
    #[must_use]
    pub fn reports(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// The directory of cargo tools that this program installed.
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.builds.join("xtask").join("tools")
    }
}

fn metadata(dir: &Path, args: &[&str]) -> io::Result<Vec<u8>> {
    let output = Cmd::cargo()
        .args(["metadata", "--format-version", "1"])
        .args(args.iter().copied())
        .command()
        .current_dir(dir)
        .stderr(Stdio::piped())
        .output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("cargo metadata: {}", message.trim())))
}

/// The first line a program prints, or `None` where it cannot run.
#[must_use]
pub fn version_line(cmd: &Cmd) -> Option<String> {
    let output = cmd.command().stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_from_the_rest() {
        let json = br#"{
            "packages": [
                {"name": "b", "version": "0.1.0", "id": "b-id", "publish": [], "manifest_path": "/w/b/Cargo.toml",
                 "dependencies": [], "targets": [{"name": "b", "kind": ["bin"], "src_path": "/w/b/src/main.rs"}]},
                {"name": "a", "version": "0.1.0", "id": "a-id", "publish": null, "manifest_path": "/w/a/Cargo.toml",
                 "dependencies": [{"name": "tokio", "kind": null, "req": "^1", "optional": true}],
                 "metadata": {"docs.rs": {"all-features": true}, "tidegate": {"lanes": ["miri"]}},
                 "targets": [{"name": "a", "kind": ["lib"], "src_path": "/w/a/src/lib.rs"}]},
                {"name": "tokio", "version": "1.0.0", "id": "t-id", "manifest_path": "/r/t/Cargo.toml", "dependencies": []}
            ],
            "workspace_members": ["a-id", "b-id"],
            "workspace_default_members": ["a-id"],
            "workspace_root": "/w",
            "target_directory": "/w/target"
        }"#;
        let workspace = Workspace::from_json(json).unwrap();
        let names: Vec<_> = workspace.members.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(workspace.published_names().collect::<Vec<_>>(), ["a"]);
        assert_eq!(workspace.defaults, ["a"]);
        assert_eq!(workspace.asking_for("miri"), ["a"]);
        assert!(workspace.asking_for("tsan").is_empty());
        assert!(workspace.members[0].has_lib() && !workspace.members[1].has_lib());
        assert_eq!(workspace.members[1].dir(), Path::new("/w/b"));
        assert_eq!(workspace.reports(), Path::new("/w/target/xtask"));
    }
}
