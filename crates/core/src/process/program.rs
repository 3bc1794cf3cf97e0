//! What a process is called.

use crate::Name;
use std::{ffi::OsStr, fmt, path::Path};

/// What a process is called in errors, events and the inspection: its program, and the
/// [name](super::Proc::name) that it was given, if any.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tidegate_core::{Cx, process::{Proc, RunError}, scope};
///
/// let done = scope("job", async |cx: Cx<RunError>| Proc::new("/bin/cat").run(&cx).await);
/// let program = done.await.unwrap().program().clone();
/// assert_eq!((program.path(), program.name()), ("/bin/cat", "cat"));
/// assert_eq!(program.to_string(), "\"/bin/cat\"");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    path: String,
    name: Option<Name>,
}

impl Program {
    pub(super) fn new(path: &OsStr, name: Option<Name>) -> Self {
        Self { path: path.to_string_lossy().into_owned(), name }
    }

    /// The program as it was given to [`Proc::new`](super::Proc::new); bytes that are not UTF-8
    /// are replaced by U+FFFD.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name that it was given, or else the last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or_else(|| self.short(), Name::as_str)
    }

    pub(super) fn to_name(&self) -> Name {
        self.name.clone().unwrap_or_else(|| self.short().to_owned().into())
    }

    fn short(&self) -> &str {
        let last = Path::new(&self.path).file_name().and_then(OsStr::to_str);
        last.unwrap_or(&self.path)
    }
}

/// The path in quotes; after a name that was given, in parentheses: `sorter ("/usr/bin/sort")`.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({:?})", self.path),
            None => write!(f, "{:?}", self.path),
        }
    }
}
