//! Where in the tree some work is: a path that is put together when somebody reads it.
//!
//! Work that is aborted by the thousands is named, and hardly any of the names is read. A path
//! that is text would cost each of them the depth of the tree.

use crate::{Name, sync::Arc};
use std::{fmt, sync::OnceLock};

/// The names from the root down.
#[derive(Clone)]
pub(crate) struct Path(Arc<Inner>);

struct Inner {
    name: Name,
    above: Option<Path>,
    text: OnceLock<String>,
}

impl Path {
    pub(crate) fn root(name: Name) -> Self {
        Self::new(name, None)
    }

    /// That of what is right below.
    pub(crate) fn below(&self, name: Name) -> Self {
        Self::new(name, Some(self.clone()))
    }

    fn new(name: Name, above: Option<Self>) -> Self {
        Self(Arc::new(Inner { name, above, text: OnceLock::new() }))
    }

    /// Such as `/server/conn-7`; kept from the first time on.
    pub(crate) fn text(&self) -> &str {
        self.0.text.get_or_init(|| self.written())
    }

    /// The same, not kept: paths of scopes that live long are asked for now and then.
    pub(crate) fn written(&self) -> String {
        let names: Vec<_> = std::iter::successors(Some(self), |path| path.0.above.as_ref())
            .map(|path| &path.0.name)
            .collect();
        names.iter().rev().fold(String::new(), |text, name| below(text, name))
    }
}

/// Adds a name to a path. A `/` in a name, such as that of a file, would read as two names.
pub(crate) fn below(mut path: String, name: &Name) -> String {
    path.push('/');
    for part in name.as_str().split_inclusive(['/', '%']) {
        let (text, escaped) = match part.strip_suffix('/') {
            Some(text) => (text, "%2F"),
            None => part.strip_suffix('%').map_or((part, ""), |text| (text, "%25")),
        };
        path.push_str(text);
        path.push_str(escaped);
    }
    path
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        let (name, text) = (Name::from(""), OnceLock::from(text));
        Self(Arc::new(Inner { name, above: None, text }))
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Path {}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

impl Drop for Inner {
    /// Goes up in a loop: a deep chain must not overflow the stack.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(Path(inner)) = above {
            above = Arc::into_inner(inner).and_then(|mut inner| inner.above.take());
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_and_what_would_read_as_two_is_escaped() {
        let path = Path::root("srv".into()).below("a/b".into()).below("50%".into());
        assert_eq!(path.text(), "/srv/a%2Fb/50%25");
        assert_eq!(path.written(), path.text());
        assert_eq!(path, Path::from("/srv/a%2Fb/50%25".to_owned()));
    }

    #[test]
    fn recursive_drop_of_a_deep_path_overflows_the_stack() {
        let depth = if cfg!(miri) { 50 } else { 100_000 };
        let mut path = Path::root("root".into());
        for _ in 0..depth {
            path = path.below("level".into());
        }
        drop(path);
    }
}
