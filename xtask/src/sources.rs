//! Finding files and names in the source tree.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// All files below `dir` whose names end in `.extension`, sorted; build output and version control
/// are left out. A missing directory is an empty one.
///
/// # Errors
/// When a directory cannot be read.
pub fn files(dir: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let name = entry.file_name();
                if name != "target" && name != ".git" {
                    pending.push(path);
                }
            } else if kind.is_file() && path.extension().is_some_and(|ext| ext == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a Rust file below one of `dirs` contains `needle`.
///
/// # Errors
/// When a file cannot be read.
pub fn mentions(dirs: &[PathBuf], needle: &str) -> io::Result<bool> {
    for dir in dirs {
        for file in files(dir, "rs")? {
            if fs::read_to_string(&file)?.contains(needle) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_output_is_left_out_and_order_is_fixed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.rs", "a.rs", "sub/c.rs", "target/x.rs", ".git/y.rs", "z.md"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "fn loom_x() {}").unwrap();
        }
        let names: Vec<_> = files(dir.path(), "rs")
            .unwrap()
            .into_iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().to_path_buf())
            .collect();
        assert_eq!(names, [Path::new("a.rs"), Path::new("b.rs"), Path::new("sub/c.rs")]);
        let dirs = [dir.path().to_path_buf(), dir.path().join("missing")];
        assert!(mentions(&dirs, "fn loom_").unwrap());
        assert!(!mentions(&dirs, "fn stress_").unwrap());
    }
}
