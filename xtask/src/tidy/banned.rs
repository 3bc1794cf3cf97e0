//! What must not stand in the code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{Attribute, spanned::Spanned as _, visit::Visit};

use super::{Source, Tree, Violation, syntax};

/// A test that is not run is not a test. `cfg_attr(miri, ignore = "why")` is the one exception:
/// Miri lacks most system calls.
#[must_use]
pub fn ignored(tree: &Tree) -> Vec<Violation> {
    each_attribute(tree, &|attr| {
        if attr.path().is_ident("ignore") {
            return Some("`#[ignore]`: run the test or delete it");
        }
        if !attr.path().is_ident("cfg_attr") {
            return None;
        }
        let tokens: Vec<TokenTree> = syntax::list(attr)?.into_iter().collect();
        let at = tokens.iter().position(|token| is_ident(token, "ignore"))?;
        let miri = tokens.first().is_some_and(|token| is_ident(token, "miri"));
        let reason = tokens.get(at + 1).is_some_and(|token| is_punct(token, '='));
        (!miri || !reason).then_some("only `cfg_attr(miri, ignore = \"why\")` may ignore a test")
    })
}

/// No `todo!`, `unimplemented!`, `dbg!`.
#[must_use]
pub fn unfinished(tree: &Tree) -> Vec<Violation> {
    each_token(tree, &|rest| {
        let [TokenTree::Ident(name), TokenTree::Punct(mark), ..] = rest else { return None };
        let banned = ["todo", "unimplemented", "dbg"].iter().any(|banned| name == banned);
        // `todo != x` is a comparison.
        let call = mark.as_char() == '!' && matches!(rest.get(2), Some(TokenTree::Group(_)));
        (banned && call).then(|| format!("`{name}!` is not done"))
    })
}

/// `cfg(loom)` strips tokio of its network and files; ours is `cfg(tidegate_loom)`.
#[must_use]
pub fn plain_loom(tree: &Tree) -> Vec<Violation> {
    let mut found = each_token(tree, &|rest| {
        let [TokenTree::Ident(name), next @ ..] = rest else { return None };
        if name != "cfg" && name != "cfg_attr" {
            return None;
        }
        let group = next.iter().take(2).find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group),
            _ => None,
        })?;
        let plain = syntax::words(group.stream()).iter().any(|word| word == "loom");
        plain.then(|| String::from("plain `loom`: use `cfg(tidegate_loom)`"))
    });
    for package in &tree.members {
        for dependency in &package.dependencies {
            let target = dependency.target.as_deref().unwrap_or("");
            let cfgs: Vec<&str> =
                target.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            if cfgs.contains(&"loom") {
                found.push(Violation::of(&package.name, "plain `loom`: use `cfg(tidegate_loom)`"));
            }
        }
    }
    found
}

/// `ThreadSanitizer` does not understand fences.
#[must_use]
pub fn fences(tree: &Tree) -> Vec<Violation> {
    each_token(tree, &|rest| {
        let [TokenTree::Ident(module), TokenTree::Punct(a), TokenTree::Punct(b), next, ..] = rest
        else {
            return None;
        };
        if module != "atomic" || a.as_char() != ':' || b.as_char() != ':' {
            return None;
        }
        let fence = match next {
            TokenTree::Ident(name) => name == "fence",
            TokenTree::Group(group) => {
                syntax::words(group.stream()).iter().any(|word| word == "fence")
            }
            _ => false,
        };
        fence.then(|| String::from("`atomic::fence`: order the accesses themselves"))
    })
}

/// Where core takes from tokio what a model must be able to replace: what runs and what times work.
const RUNTIME: &str = "crates/core/src/rt.rs";
/// What that is.
const MODELLED: [&str; 11] = [
    "JoinHandle",
    "JoinSet",
    "Sleep",
    "consume_budget",
    "interval",
    "sleep",
    "sleep_until",
    "spawn",
    "spawn_blocking",
    "timeout",
    "timeout_at",
];
/// What runs on a runtime of its own, beside the system's signals.
const UNMODELLED: &str = "crates/core/src/app/";

/// Scopes run under shuttle only if their tasks and timers can be replaced.
#[must_use]
pub fn runtime(tree: &Tree) -> Vec<Violation> {
    let found = each_token(tree, &|rest| {
        if !is_ident(&rest[0], "tokio") {
            return None;
        }
        let path = rest.iter().map_while(|token| match token {
            TokenTree::Ident(name) => Some(vec![name.to_string()]),
            TokenTree::Punct(mark) if mark.as_char() == ':' => Some(Vec::new()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                Some(syntax::words(group.stream()))
            }
            _ => None,
        });
        let word = path.flatten().find(|word| MODELLED.contains(&word.as_str()))?;
        Some(format!("`{word}` is tokio's alone: take it from `crate::rt`"))
    });
    let is_modelled = |path: &str| {
        path.starts_with("crates/core/src/") && path != RUNTIME && !path.starts_with(UNMODELLED)
    };
    found.into_iter().filter(|violation| is_modelled(&violation.place)).collect()
}

/// A model with a limit of time or of executions returns success when it hits the limit.
#[must_use]
pub fn bounded_models(tree: &Tree) -> Vec<Violation> {
    each_token(tree, &|rest| match &rest[0] {
        TokenTree::Ident(name) if name == "max_permutations" || name == "max_duration" => {
            Some(format!("`{name}`: a model that hits it passes; make the model smaller"))
        }
        _ => None,
    })
}

/// A lint that is switched off says why.
#[must_use]
pub fn reasons(tree: &Tree) -> Vec<Violation> {
    let mut found = each_attribute(tree, &|attr| {
        let words = syntax::words(syntax::list(attr)?);
        let switches = ["allow", "expect"].iter().any(|level| {
            attr.path().is_ident(level)
                || attr.path().is_ident("cfg_attr") && words.iter().any(|word| word == level)
        });
        (switches && !words.iter().any(|word| word == "reason"))
            .then_some("give a `reason` for switching a lint off")
    });
    for (path, text) in tree.texts.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let mut explained = false;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.ends_with("= \"allow\"") && !explained {
                found.push(Violation::at(path, index + 1, "a comment above must say why"));
            }
            explained = line.starts_with('#') || (explained && line.ends_with("= \"allow\""));
        }
    }
    found
}

/// Examples run: no `ignore`, no `no_run`.
#[must_use]
pub fn examples(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for (index, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            if let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
                found.extend(fence_violation(&source.path, index + 1, doc));
            }
        }
    }
    let pages = tree.texts.iter().filter(|(path, _)| {
        path.ends_with("README.md") || (path.starts_with("docs/src/") && syntax::is_markdown(path))
    });
    for (path, text) in pages {
        for (index, line) in text.lines().enumerate() {
            found.extend(fence_violation(path, index + 1, line));
        }
    }
    found
}

fn fence_violation(path: &str, line: usize, text: &str) -> Option<Violation> {
    let info = text.trim().strip_prefix("```")?;
    let word = info
        .split([',', ' '])
        .map(str::trim)
        .find(|word| *word == "no_run" || *word == "ignore" || word.starts_with("ignore-"))?;
    Some(Violation::at(path, line, format!("`{word}`: examples run")))
}

fn each_attribute(
    tree: &Tree,
    judge: &dyn Fn(&Attribute) -> Option<&'static str>,
) -> Vec<Violation> {
    struct Visitor<'a> {
        source: &'a Source,
        judge: &'a dyn Fn(&Attribute) -> Option<&'static str>,
        found: Vec<Violation>,
    }
    impl<'ast> Visit<'ast> for Visitor<'_> {
        fn visit_attribute(&mut self, attr: &'ast Attribute) {
            if let Some(what) = (self.judge)(attr) {
                let line = attr.span().start().line;
                self.found.push(Violation::at(&self.source.path, line, what));
            }
        }
    }
    let mut found = Vec::new();
    for source in &tree.sources {
        let mut visitor = Visitor { source, judge, found: Vec::new() };
        visitor.visit_file(&source.ast);
        found.append(&mut visitor.found);
    }
    found
}

fn each_token(tree: &Tree, judge: &dyn Fn(&[TokenTree]) -> Option<String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in &tree.sources {
        let Ok(tokens) = source.text.parse::<TokenStream>() else { continue };
        syntax::each_token(tokens, &mut |rest| {
            if let Some(what) = judge(rest) {
                let line = rest[0].span().start().line;
                found.push(Violation::at(&source.path, line, what));
            }
        });
    }
    found
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[cfg(test)]
mod tests;
