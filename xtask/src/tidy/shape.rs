//! The shape of a crate: names, sizes, front pages.

use syn::{Item, spanned::Spanned as _};

use super::{Source, Tree, Violation, syntax};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "common", "helpers", "misc", "types", "prelude"];
/// Lines of a crate root.
const LIB_LINES_MAX: usize = 80;
/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 500;

/// No module has an empty name.
#[must_use]
pub fn names(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let below = source.path.strip_prefix(source.folder.as_str()).unwrap_or(&source.path);
        for part in below.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part)) {
            if EMPTY_NAMES.contains(&part) {
                found.push(Violation::of(
                    &source.path,
                    format!("`{part}` says nothing: name the idea"),
                ));
            }
        }
        inline_names(source, &source.ast.items, &mut found);
    }
    found
}

fn inline_names(source: &Source, items: &[Item], found: &mut Vec<Violation>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let Some((_, items)) = &module.content else { continue };
        let name = module.ident.to_string();
        if EMPTY_NAMES.contains(&name.as_str()) {
            let line = module.ident.span().start().line;
            found.push(Violation::at(
                &source.path,
                line,
                format!("`{name}` says nothing: name the idea"),
            ));
        }
        inline_names(source, items, found);
    }
}

/// The root of a library is a table of contents.
#[must_use]
pub fn lib(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in tree.published_src().filter(|source| is_root(source)) {
        let lines = source.text.lines().count();
        if lines > LIB_LINES_MAX {
            found.push(Violation::of(
                &source.path,
                format!("{lines} lines, at most {LIB_LINES_MAX}"),
            ));
        }
        logic(source, &source.ast.items, &mut found);
    }
    found
}

fn is_root(source: &Source) -> bool {
    source.path == format!("{}/src/lib.rs", source.folder)
}

fn logic(source: &Source, items: &[Item], found: &mut Vec<Violation>) {
    for item in items {
        match item {
            Item::Use(_) | Item::ExternCrate(_) => {}
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    logic(source, items, found);
                }
            }
            // Says what platform is missing, better than a failing module would.
            Item::Macro(call) if call.mac.path.is_ident("compile_error") => {}
            // The usual carrier of doctests for a README.
            Item::Struct(item) if item.attrs.iter().any(is_doctest_only) => {}
            // Macros have to be there; one statement hands over to a module.
            Item::Fn(item)
                if item.attrs.iter().any(is_proc_macro) && item.block.stmts.len() == 1 => {}
            item => {
                let line = item.span().start().line;
                found.push(Violation::at(&source.path, line, "lib.rs holds `mod` and `use` only"));
            }
        }
    }
}

fn is_doctest_only(attr: &syn::Attribute) -> bool {
    attr.path().is_ident("cfg")
        && syntax::list(attr).is_some_and(|tokens| syntax::words(tokens) == ["doctest"])
}

fn is_proc_macro(attr: &syn::Attribute) -> bool {
    ["proc_macro", "proc_macro_attribute", "proc_macro_derive"]
        .iter()
        .any(|name| attr.path().is_ident(name))
}

/// No file is too long to be read at one go.
#[must_use]
pub fn length(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in tree.sources.iter().filter(|source| source.in_src && !source.test_only) {
        let tests: usize = source
            .ast
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Mod(module) if syntax::is_test(&module.attrs) => Some(syntax::lines(module)),
                _ => None,
            })
            .map(|(first, last)| last - first + 1)
            .sum();
        let lines = source.text.lines().count() - tests;
        if lines > FILE_LINES_MAX {
            let what = format!("{lines} lines without tests, at most {FILE_LINES_MAX}");
            found.push(Violation::of(&source.path, what));
        }
    }
    found
}

/// Unsafe code is forbidden, or the crate's README says why not.
#[must_use]
pub fn no_unsafe(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in &tree.members {
        let folder = tree.folder(package);
        let roots = ["src/lib.rs", "src/main.rs", "lib.rs"].map(|root| format!("{folder}/{root}"));
        let readme = tree.texts.get(&format!("{folder}/README.md"));
        let explained = readme.is_some_and(|text| {
            text.lines().any(|line| line.starts_with('#') && line.to_lowercase().contains("unsafe"))
        });
        for source in tree.sources.iter().filter(|source| roots.contains(&source.path)) {
            let forbids = source.ast.attrs.iter().any(|attr| {
                attr.path().is_ident("forbid")
                    && syntax::list(attr)
                        .is_some_and(|tokens| syntax::words(tokens).contains(&"unsafe_code".into()))
            });
            if !forbids && !explained {
                let what = "`#![forbid(unsafe_code)]`, or a section on unsafe code in the README";
                found.push(Violation::of(&source.path, what));
            }
        }
    }
    found
}

/// A published crate has a front page, which is also its documentation, and a changelog.
#[must_use]
pub fn front_pages(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in tree.members.iter().filter(|package| package.published()) {
        let folder = tree.folder(package);
        for name in ["README.md", "CHANGELOG.md"] {
            let path = format!("{folder}/{name}");
            if tree.texts.get(&path).is_none_or(|text| text.trim().is_empty()) {
                found.push(Violation::of(path, "missing or empty"));
            }
        }
        let root = format!("{folder}/src/lib.rs");
        if let Some(text) = tree.texts.get(&root) {
            if !text.contains("#![doc = include_str!(\"../README.md\")]") {
                found.push(Violation::of(
                    root,
                    "the README is the crate's documentation: include it",
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{found, tree},
        *,
    };

    #[test]
    fn empty_names_are_found_as_files_folders_and_inline() {
        let clean = tree(&[("crates/x/src/lib.rs", "mod token { mod leaf {} }")]);
        assert!(names(&clean).is_empty());
        let bad = tree(&[
            ("crates/x/src/utils.rs", ""),
            ("crates/x/src/common/a.rs", ""),
            ("crates/x/src/b.rs", "mod inner {\n mod prelude {} }"),
        ]);
        let found = found(&names(&bad));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("crates/x/src/b.rs:2: `prelude`")));
    }

    #[test]
    fn a_root_with_logic_or_too_many_lines_is_found() {
        let clean = "#![forbid(unsafe_code)]\nmod a;\npub use a::B;\n#[cfg(doctest)]\nstruct Readme;\n#[cfg(windows)]\ncompile_error!(\"no\");\n";
        assert!(lib(&tree(&[("crates/x/src/lib.rs", clean)])).is_empty());
        let logic = tree(&[("crates/x/src/lib.rs", "mod a;\npub fn f() {}\n")]);
        assert_eq!(
            found(&lib(&logic)),
            ["crates/x/src/lib.rs:2: lib.rs holds `mod` and `use` only"]
        );
        let of_macro = "mod a;\n#[proc_macro]\npub fn f(t: T) -> T { a::f(t) }\n";
        assert!(lib(&tree(&[("crates/x/src/lib.rs", of_macro)])).is_empty());
        let logic = of_macro.replace("a::f(t)", "g();a::f(t)");
        assert_eq!(lib(&tree(&[("crates/x/src/lib.rs", &logic)])).len(), 1);
        let long = format!("{clean}{}", "// x\n".repeat(LIB_LINES_MAX));
        assert_eq!(lib(&tree(&[("crates/x/src/lib.rs", &long)])).len(), 1);
        // Other files may hold logic.
        assert!(lib(&tree(&[("crates/x/src/a.rs", "pub fn f() {}")])).is_empty());
    }

    #[test]
    fn tests_do_not_count_towards_the_length() {
        let code = "// line\n".repeat(FILE_LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        let clean = format!("{code}{tests}");
        assert!(length(&tree(&[("crates/x/src/a.rs", &clean)])).is_empty());
        let own_file = [
            ("crates/x/src/lib.rs", "mod a;"),
            ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests;"),
            ("crates/x/src/a/tests.rs", &clean),
        ];
        assert!(length(&tree(&own_file)).is_empty());
        let bad = format!("// one more\n{clean}");
        let found = found(&length(&tree(&[("crates/x/src/a.rs", &bad)])));
        assert_eq!(found, ["crates/x/src/a.rs: 501 lines without tests, at most 500"]);
    }

    #[test]
    fn unsafe_code_is_forbidden_or_explained() {
        let clean = [("crates/x/src/lib.rs", "#![forbid(unsafe_code)]")];
        assert!(no_unsafe(&tree(&clean)).is_empty());
        let bad = [("crates/x/src/lib.rs", "#![deny(unsafe_code)]")];
        assert_eq!(no_unsafe(&tree(&bad)).len(), 1);
        let explained =
            [("crates/x/src/lib.rs", ""), ("crates/x/README.md", "# x\n## Unsafe code\n")];
        assert!(no_unsafe(&tree(&explained)).is_empty());
    }

    #[test]
    fn front_pages_exist_and_are_included() {
        let lib = ("crates/x/src/lib.rs", "#![doc = include_str!(\"../README.md\")]");
        let readme = ("crates/x/README.md", "# x");
        let changelog = ("crates/x/CHANGELOG.md", "# Changelog");
        assert!(front_pages(&tree(&[lib, readme, changelog])).is_empty());
        let bad = tree(&[("crates/x/src/lib.rs", "//! x"), ("crates/x/README.md", " ")]);
        assert_eq!(front_pages(&bad).len(), 3);
    }
}
