//! What the documentation of the public API must say: `# Errors` where a call can fail,
//! `# Cancel safety` where it can be dropped half-way.

use std::collections::BTreeMap;

use syn::{
    Attribute, GenericArgument, ImplItem, Item, PathArguments, ReturnType, Signature, TraitItem,
    Type, TypeParamBound, Visibility,
};

use super::{Tree, Violation, syntax};

/// What is known of a crate's types.
#[derive(Default)]
struct Types {
    /// Named futures; whether their own documentation has the section.
    futures: BTreeMap<String, bool>,
    /// Types that are not `pub`.
    private: Vec<String>,
}

/// Every public function has the sections it needs.
#[must_use]
pub fn sections(tree: &Tree) -> Vec<Violation> {
    let mut types: BTreeMap<&str, Types> = BTreeMap::new();
    let files: Vec<_> = tree
        .published_src()
        .filter(|source| !source.test_only && !source.hidden)
        .map(|source| (source, syntax::public_items(&source.ast.items)))
        .collect();
    for (source, items) in &files {
        learn(types.entry(&source.folder).or_default(), items);
    }
    // A named future may carry the section itself; its type is known only now.
    for (source, items) in &files {
        for (name, attrs) in items.iter().filter_map(type_of) {
            let documented = has(attrs, "Cancel safety");
            if let Some(known) = types.entry(&source.folder).or_default().futures.get_mut(&name) {
                *known |= documented;
            }
        }
    }
    let mut found = Vec::new();
    for (source, items) in &files {
        let types = &types[source.folder.as_str()];
        for item in items {
            check_item(&source.path, item, types, &mut found);
        }
    }
    found
}

fn learn(types: &mut Types, items: &[Item]) {
    for item in items {
        match item {
            Item::Impl(block) => {
                let is_future = block.trait_.as_ref().is_some_and(|(path, _for)| {
                    path.segments.last().is_some_and(|segment| segment.ident == "Future")
                });
                if let (true, Some(name)) = (is_future, last_segment(&block.self_ty)) {
                    types.futures.entry(name).or_insert(false);
                }
            }
            Item::Struct(item) if !is_pub(&item.vis) => types.private.push(item.ident.to_string()),
            Item::Enum(item) if !is_pub(&item.vis) => types.private.push(item.ident.to_string()),
            _ => {}
        }
    }
}

fn type_of(item: &Item) -> Option<(String, &[Attribute])> {
    match item {
        Item::Struct(item) => Some((item.ident.to_string(), &item.attrs)),
        Item::Enum(item) => Some((item.ident.to_string(), &item.attrs)),
        _ => None,
    }
}

fn check_item(path: &str, item: &Item, types: &Types, found: &mut Vec<Violation>) {
    match item {
        Item::Fn(item) if is_pub(&item.vis) => {
            check_fn(path, &item.sig, &item.attrs, types, found);
        }
        Item::Impl(block) if block.trait_.is_none() => {
            if last_segment(&block.self_ty).is_some_and(|name| types.private.contains(&name)) {
                return;
            }
            for item in &block.items {
                if let ImplItem::Fn(item) = item {
                    if is_pub(&item.vis) {
                        check_fn(path, &item.sig, &item.attrs, types, found);
                    }
                }
            }
        }
        Item::Trait(item) if is_pub(&item.vis) => {
            for item in &item.items {
                if let TraitItem::Fn(item) = item {
                    check_fn(path, &item.sig, &item.attrs, types, found);
                }
            }
        }
        _ => {}
    }
}

fn check_fn(
    path: &str,
    sig: &Signature,
    attrs: &[Attribute],
    types: &Types,
    found: &mut Vec<Violation>,
) {
    if syntax::is_hidden(attrs) || syntax::is_test(attrs) {
        return;
    }
    let line = sig.ident.span().start().line;
    let mut miss = |section: &str| {
        found.push(Violation::at(path, line, format!("`{}` lacks `# {section}`", sig.ident)));
    };
    if returns_future(sig, types) && !has(attrs, "Cancel safety") {
        miss("Cancel safety");
    }
    if returns_result(sig) && !has(attrs, "Errors") {
        miss("Errors");
    }
}

/// What a function hands back, as far as the sections care.
enum Output<'a> {
    Plain(&'a Type),
    /// `impl Future`, with the type of its output where one is named.
    Future(Option<&'a Type>),
}

fn output(sig: &Signature) -> Option<Output<'_>> {
    let ReturnType::Type(_, output) = &sig.output else { return None };
    let Type::ImplTrait(opaque) = output.as_ref() else { return Some(Output::Plain(output)) };
    let future = opaque.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().filter(|segment| segment.ident == "Future")
        }
        _ => None,
    });
    let Some(segment) = future else { return Some(Output::Plain(output)) };
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Some(Output::Future(None));
    };
    Some(Output::Future(arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(pair) => Some(&pair.ty),
        _ => None,
    })))
}

fn returns_future(sig: &Signature, types: &Types) -> bool {
    let named = |ty| last_segment(ty).is_some_and(|name| types.futures.get(&name) == Some(&false));
    sig.asyncness.is_some()
        || match output(sig) {
            Some(Output::Future(_)) => true,
            Some(Output::Plain(ty)) => named(ty),
            None => false,
        }
}

fn returns_result(sig: &Signature) -> bool {
    match output(sig) {
        Some(Output::Plain(ty) | Output::Future(Some(ty))) => {
            last_segment(ty).is_some_and(|name| name.ends_with("Result"))
        }
        Some(Output::Future(None)) | None => false,
    }
}

fn last_segment(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

fn is_pub(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn has(attrs: &[Attribute], section: &str) -> bool {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#');
        title.len() < line.len() && title.trim() == section
    };
    syntax::docs(attrs).lines().map(str::trim).any(heading)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::check_file, *};

    fn check(text: &str) -> Vec<String> {
        check_file(sections, text)
    }

    #[test]
    fn an_async_fn_needs_cancel_safety() {
        assert_eq!(
            check("pub async fn f() {}"),
            ["crates/x/src/a.rs:1: `f` lacks `# Cancel safety`"]
        );
        assert!(check("/// # Cancel safety\n/// Safe.\npub async fn f() {}").is_empty());
        assert!(check("async fn f() {}\npub(crate) async fn g() {}").is_empty());
    }

    #[test]
    fn so_does_a_fn_that_returns_a_future() {
        assert_eq!(check("pub fn f() -> impl Future<Output = u8> + Send {}").len(), 1);
        assert_eq!(check("pub fn f() -> impl Iterator<Item = u8> {}").len(), 0);
        let named = "pub struct Wait; impl Future for Wait {} pub fn f() -> Wait {}";
        assert_eq!(check(named).len(), 1);
        let documented = format!("/// # Cancel safety\n/// Safe.\n{named}");
        assert!(check(&documented).is_empty());
        let wrapped = "pin_project! { pub struct Wait { #[pin] x: u8 } } impl Future for Wait {} pub fn f() -> Wait<'_> {}";
        assert_eq!(check(wrapped).len(), 1);
        let documented = wrapped.replace("{ pub struct", "{\n/// # Cancel safety\n pub struct");
        assert!(check(&documented).is_empty());
    }

    #[test]
    fn a_fallible_fn_needs_errors() {
        assert_eq!(check("impl X { pub fn f() -> io::Result<u8> {} } pub struct X;").len(), 1);
        assert!(
            check("impl X {\n/// # Errors\n/// Never.\n pub fn f() -> io::Result<u8> {} }")
                .is_empty()
        );
        assert_eq!(check("/// # Cancel safety\npub async fn f() -> Result<(), E> {}").len(), 1);
        let future = "/// # Cancel safety\npub fn f() -> impl Future<Output = Result<(), E>> {}";
        assert_eq!(check(future).len(), 1);
        assert_eq!(
            check("/// Text # Errors in a sentence\npub fn f() -> Result<(), E> {}").len(),
            1
        );
    }

    #[test]
    fn trait_methods_are_public_and_their_implementations_are_not_asked() {
        assert_eq!(check("pub trait T { fn f() -> Result<(), E>; }").len(), 1);
        assert!(check("trait T { fn f() -> Result<(), E>; }").is_empty());
        assert!(check("impl T for X { fn f() -> Result<(), E> {} }").is_empty());
    }

    #[test]
    fn private_types_hidden_items_and_tests_are_left_out() {
        assert!(check("struct X; impl X { pub fn f() -> Result<(), E> {} }").is_empty());
        assert!(check("#[doc(hidden)] pub fn f() -> Result<(), E> {}").is_empty());
        assert!(check("#[cfg(test)] mod tests { pub fn f() -> Result<(), E> {} }").is_empty());
        assert_eq!(check("mod inner { pub fn f() -> Result<(), E> {} }").len(), 1);
    }
}
