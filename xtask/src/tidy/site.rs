//! The pages, and what must not leak into any file.

use super::{Tree, Violation, syntax};

const SUMMARY: &str = "docs/src/SUMMARY.md";
const DOCTESTS: &str = "docs/lib.rs";

/// Every page is in the table of contents, and its code is run.
#[must_use]
pub fn pages(tree: &Tree) -> Vec<Violation> {
    let (Some(summary), Some(doctests)) = (tree.texts.get(SUMMARY), tree.texts.get(DOCTESTS))
    else {
        return vec![Violation::of("docs", "SUMMARY.md or lib.rs is missing")];
    };
    let listed: Vec<&str> = links(summary).collect();
    let mut found = Vec::new();
    for page in &listed {
        if !tree.texts.contains_key(&format!("docs/src/{page}")) {
            found.push(Violation::of(SUMMARY, format!("there is no page {page}")));
        } else if !doctests.contains(&format!("include_str!(\"src/{page}\")")) {
            found.push(Violation::of(DOCTESTS, format!("{page} is not tested")));
        }
    }
    for path in tree.texts.keys() {
        let Some(page) = path.strip_prefix("docs/src/").filter(|page| syntax::is_markdown(page))
        else {
            continue;
        };
        if page != "SUMMARY.md" && !listed.contains(&page) {
            found.push(Violation::of(path, "the table of contents does not list it"));
        }
    }
    if !doctests.contains("include_str!(\"../README.md\")") {
        found.push(Violation::of(DOCTESTS, "the README is not tested"));
    }
    found
}

/// The targets of `[text](target.md)`.
fn links(markdown: &str) -> impl Iterator<Item = &str> {
    markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| syntax::is_markdown(target))
        .map(|target| target.strip_prefix("./").unwrap_or(target))
}

/// No path of somebody's machine stands in a file.
#[must_use]
pub fn machine_paths(tree: &Tree) -> Vec<Violation> {
    // Written in two parts, so that this file does not find itself.
    let roots = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Use", "rs/"),
        concat!("/wo", "rk/"),
        concat!("C:\\", "Users"),
    ];
    let mut found = Vec::new();
    for (path, text) in &tree.texts {
        for (index, line) in text.lines().enumerate() {
            for root in roots {
                if starts_a_path(line, root) {
                    found.push(Violation::at(
                        path,
                        index + 1,
                        format!("`{root}` is one machine's"),
                    ));
                }
            }
        }
    }
    found
}

/// Whether `root` occurs where a path begins, rather than within one.
fn starts_a_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-~}>".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{found, tree},
        *,
    };

    #[test]
    fn every_page_is_listed_and_tested() {
        let doctests =
            "#![doc = include_str!(\"src/a.md\")]\n#![doc = include_str!(\"../README.md\")]";
        let summary = "# Summary\n- [A](a.md)\n";
        let clean = tree(&[(SUMMARY, summary), (DOCTESTS, doctests), ("docs/src/a.md", "")]);
        assert_eq!(found(&pages(&clean)), Vec::<String>::new());
        let bad = tree(&[
            (SUMMARY, "- [A](./a.md)\n- [B](b.md)\n"),
            (DOCTESTS, ""),
            ("docs/src/a.md", ""),
            ("docs/src/c.md", ""),
        ]);
        assert_eq!(
            found(&pages(&bad)),
            [
                "docs/lib.rs: a.md is not tested",
                "docs/src/SUMMARY.md: there is no page b.md",
                "docs/src/c.md: the table of contents does not list it",
                "docs/lib.rs: the README is not tested",
            ]
        );
        assert_eq!(pages(&tree(&[])).len(), 1);
    }

    #[test]
    fn machine_paths_are_found_where_they_begin() {
        let path = concat!("/ho", "me/someone/x");
        assert_eq!(machine_paths(&tree(&[("a.md", &format!("see `{path}`"))])).len(), 1);
        assert!(
            machine_paths(&tree(&[("a.md", &format!("see target{path} or ~{path}"))])).is_empty()
        );
    }
}
