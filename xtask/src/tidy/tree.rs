//! Everything the checks look at, read once.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{Violation, syntax};
use crate::workspace::{Package, Workspace};

/// Larger files are data.
const TEXT_MAX: u64 = 2 << 20;

/// A Rust file.
pub struct Source {
    /// Below the root, with `/`.
    pub path: String,
    /// The folder of the package it belongs to, below the root.
    pub folder: String,
    /// The text.
    pub text: String,
    /// The syntax tree.
    pub ast: syn::File,
    /// In `src/` of a package (or the library of `docs`), rather than a test, bench or example.
    pub in_src: bool,
    /// Declared under `#[cfg(test)]`.
    pub test_only: bool,
    /// Declared under `#[doc(hidden)]`.
    pub hidden: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The source tree.
#[derive(Debug, Default)]
pub struct Tree {
    /// The root.
    pub root: PathBuf,
    /// Our packages.
    pub members: Vec<Package>,
    /// Every text file by its path below the root.
    pub texts: BTreeMap<String, String>,
    /// Every Rust file.
    pub sources: Vec<Source>,
    broken: Vec<Violation>,
}

impl Tree {
    /// Reads the workspace.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn load(workspace: &Workspace) -> Result<Self, String> {
        let mut texts = BTreeMap::new();
        read_texts(&workspace.root, &workspace.target, &mut texts)
            .map_err(|error| format!("reading the tree: {error}"))?;
        Ok(Self::new(workspace.root.clone(), workspace.members.clone(), texts))
    }

    /// A tree of given files.
    #[must_use]
    pub fn new(root: PathBuf, members: Vec<Package>, texts: BTreeMap<String, String>) -> Self {
        let mut tree = Self { root, members, texts, ..Self::default() };
        let rust = |path: &str| Path::new(path).extension().is_some_and(|ext| ext == "rs");
        for (path, text) in tree.texts.iter().filter(|(path, _)| rust(path)) {
            let Some(folder) = tree.folder_of(path) else { continue };
            match syn::parse_file(text) {
                Ok(ast) => {
                    let below = path.strip_prefix(folder.as_str()).unwrap_or(path);
                    tree.sources.push(Source {
                        path: path.clone(),
                        in_src: below.starts_with("/src/") || below == "/lib.rs",
                        folder,
                        text: text.clone(),
                        ast,
                        test_only: false,
                        hidden: false,
                    });
                }
                Err(error) => {
                    let line = error.span().start().line;
                    tree.broken.push(Violation::at(path, line, format!("does not parse: {error}")));
                }
            }
        }
        tree.mark_modules();
        tree
    }

    /// The number of files.
    #[must_use]
    pub fn files(&self) -> usize {
        self.texts.len()
    }

    /// The folder of a package below the root.
    #[must_use]
    pub fn folder(&self, package: &Package) -> String {
        let dir = package.dir();
        dir.strip_prefix(&self.root).unwrap_or(dir).to_string_lossy().into_owned()
    }

    /// The package of a folder.
    #[must_use]
    pub fn package(&self, folder: &str) -> Option<&Package> {
        self.members.iter().find(|package| self.folder(package) == folder)
    }

    /// The Rust files of the published crates' `src/`.
    pub fn published_src(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| {
            source.in_src && self.package(&source.folder).is_some_and(Package::published)
        })
    }

    fn folder_of(&self, path: &str) -> Option<String> {
        self.members.iter().map(|package| self.folder(package)).find(|folder| {
            path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Marks files that belong to `mod` items under `#[cfg(test)]` or `#[doc(hidden)]`, and the
    /// files below them.
    fn mark_modules(&mut self) {
        let mut marks: Vec<(String, bool, bool)> = Vec::new();
        for source in &self.sources {
            let base = module_dir(&source.path);
            for module in syntax::file_modules(&source.ast) {
                let test = syntax::is_test(&module.attrs);
                let hidden = syntax::is_hidden(&module.attrs);
                if test || hidden {
                    marks.push((format!("{base}/{}", module.ident), test, hidden));
                }
            }
        }
        for source in &mut self.sources {
            let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
            for (module, test, hidden) in &marks {
                let inside = stem == module
                    || stem.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('/'));
                source.test_only |= inside && *test;
                source.hidden |= inside && *hidden;
            }
        }
    }
}

/// The directory in which the file's child modules lie.
fn module_dir(path: &str) -> String {
    let (dir, file) = path.rsplit_once('/').unwrap_or((".", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => dir.to_owned(),
        file => format!("{dir}/{}", file.strip_suffix(".rs").unwrap_or(file)),
    }
}

pub(super) fn parse_errors(tree: &Tree) -> Vec<Violation> {
    tree.broken.clone()
}

fn read_texts(root: &Path, target: &Path, texts: &mut BTreeMap<String, String>) -> io::Result<()> {
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let path = entry.path();
            let (kind, name) = (entry.file_type()?, entry.file_name());
            // In a second work tree this is a file.
            if name == ".git" {
                continue;
            }
            if kind.is_dir() {
                if path != *target && name != "target" {
                    pending.push(path);
                }
            } else if kind.is_file() && entry.metadata()?.len() <= TEXT_MAX {
                if let Ok(text) = String::from_utf8(fs::read(&path)?) {
                    let below = path.strip_prefix(root).unwrap_or(&path);
                    texts.insert(below.to_string_lossy().into_owned(), text);
                }
            }
        }
    }
    Ok(())
}
