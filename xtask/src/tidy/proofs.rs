//! A promise is kept by a test: what stands under `# Cancel safety` names the one that drops the
//! future, and the test exists.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::Item;

use super::{Source, Tree, Violation, syntax};

const SECTION: &str = "Cancel safety";
/// Such as "Tested by `one` and `another`.", within the section.
const NAMED: &str = "Tested by `";

/// Every section on cancel safety names a test of its crate.
#[must_use]
pub fn cancel_safety(tree: &Tree) -> Vec<Violation> {
    let mut tests: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in &tree.sources {
        tests.entry(&source.folder).or_default().extend(tests_of(source));
    }
    let mut found = Vec::new();
    for source in tree.published_src().filter(|source| !source.test_only) {
        let tests = &tests[source.folder.as_str()];
        for (line, text) in sections(&source.text) {
            let names = named(&text);
            if names.is_empty() {
                let what = format!("`# {SECTION}` says not by which test: end it \"{NAMED}..`.\"");
                found.push(Violation::at(&source.path, line, what));
            }
            for name in names.iter().filter(|name| !tests.contains(**name)) {
                let what = format!("`# {SECTION}` names `{name}`, and there is no such test");
                found.push(Violation::at(&source.path, line, what));
            }
        }
    }
    found
}

/// The sections on cancel safety of doc comments, each with the line of its heading.
fn sections(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let Some(doc) = line.trim_start().strip_prefix("///").map(str::trim) else {
            inside = false;
            continue;
        };
        if let Some(title) = doc.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()) {
            inside = title == SECTION;
            if inside {
                found.push((index + 1, String::new()));
            }
        } else if let (true, Some((_, section))) = (inside, found.last_mut()) {
            section.push_str(doc);
            section.push(' ');
        }
    }
    found
}

/// What the section says it is tested by.
fn named(section: &str) -> Vec<&str> {
    let Some(at) = section.rfind(NAMED) else { return Vec::new() };
    let sentence = &section[at..];
    let sentence = sentence.split_once('.').map_or(sentence, |(sentence, _)| sentence);
    sentence.split('`').skip(1).step_by(2).collect()
}

/// The names of the tests of a file; those in macros such as `proptest!` too, and what a macro of
/// a file of tests takes before a comma: that is one that writes tests.
fn tests_of(source: &Source) -> Vec<String> {
    let mut names = Vec::new();
    let tokens = source.text.parse::<TokenStream>().unwrap_or_default();
    syntax::each_token(tokens, &mut |rest| {
        if let [TokenTree::Punct(mark), TokenTree::Group(attribute), after @ ..] = rest {
            if mark.as_char() == '#' && is_test(attribute.stream()) {
                names.extend(function(after));
            }
        }
    });
    for item in source.ast.items.iter().filter(|_| !source.in_src) {
        let Item::Macro(call) = item else { continue };
        let mut tokens = call.mac.tokens.clone().into_iter();
        if let (Some(TokenTree::Ident(name)), Some(TokenTree::Punct(mark))) =
            (tokens.next(), tokens.next())
        {
            if mark.as_char() == ',' {
                names.push(name.to_string());
            }
        }
    }
    names
}

/// `test`, `tokio::test`, `tokio::test(..)`.
fn is_test(attribute: TokenStream) -> bool {
    let path = attribute.into_iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    path.last().is_some_and(|token| matches!(token, TokenTree::Ident(name) if name == "test"))
}

/// The function that other attributes and qualifiers may stand before.
fn function(tokens: &[TokenTree]) -> Option<String> {
    let at = tokens.iter().position(|token| !before_fn(token))?;
    match (&tokens[at], tokens.get(at + 1)) {
        (TokenTree::Ident(keyword), Some(TokenTree::Ident(name))) if keyword == "fn" => {
            Some(name.to_string())
        }
        _ => None,
    }
}

fn before_fn(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(mark) => mark.as_char() == '#',
        TokenTree::Group(group) => group.delimiter() == proc_macro2::Delimiter::Bracket,
        TokenTree::Ident(word) => word == "async" || word == "pub",
        TokenTree::Literal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{found, tree},
        *,
    };

    fn check(section: &str, tests: &str) -> Vec<String> {
        let source = format!("/// # Cancel safety\n/// {section}\npub async fn f() {{}}");
        found(&cancel_safety(&tree(&[
            ("crates/x/src/a.rs", &source),
            ("crates/x/tests/all.rs", tests),
            ("crates/y/tests/all.rs", "#[test] fn elsewhere() {}"),
        ])))
    }

    #[test]
    fn a_section_must_name_a_test() {
        let missing = check("Safe.", "#[test] fn t() {}");
        assert_eq!(
            missing,
            [
                "crates/x/src/a.rs:1: `# Cancel safety` says not by which test: end it \"Tested by `..`.\""
            ]
        );
        assert!(check("Safe. Tested by `t`.", "#[test] fn t() {}").is_empty());
    }

    #[test]
    fn the_test_must_exist_and_be_one_of_the_crate() {
        let gone = check("Tested by `t` and `u`.", "#[test] fn t() {} fn u() {}");
        assert_eq!(
            gone,
            ["crates/x/src/a.rs:1: `# Cancel safety` names `u`, and there is no such test"]
        );
        assert_eq!(check("Tested by `elsewhere`.", "").len(), 1);
    }

    #[test]
    fn tests_are_found_in_all_their_forms() {
        for tests in [
            "#[tokio::test(start_paused = true)] async fn t() {}",
            "#[test] #[cfg_attr(miri, ignore = \"why\")] fn t() {}",
            "mod inner { #[cfg(unix)] #[test] fn t() {} }",
            "proptest! { #[test] fn t(n in 0..9) {} }",
            "alone!(t, { 1 });",
        ] {
            assert!(check("Tested by `t`.", tests).is_empty(), "{tests}");
        }
        for other in ["#[tested] fn t() {}", "#[test] const T: u8 = 1; fn t() {}", "log!(t);"] {
            assert_eq!(check("Tested by `t`.", other).len(), 1, "{other}");
        }
    }

    #[test]
    fn a_section_ends_at_the_next_heading_and_another_one_is_not_asked() {
        let text = "/// # Cancel safety\n/// Safe.\n/// # Errors\n/// Tested by `t`.\nfn f() {}\n\
                    /// # Panics\n/// Never.\nfn g() {}\n";
        assert_eq!(sections(text), [(1, "Safe. ".to_owned())]);
    }
}
