//! Questions about syntax trees that several checks ask.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, Lit, Meta, spanned::Spanned as _};

/// Whether the item exists under `cfg(test)` alone.
#[must_use]
pub fn is_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("test")
            || attr.path().is_ident("cfg")
                && list(attr).is_some_and(|tokens| {
                    let words = words(tokens);
                    words.iter().any(|word| word == "test")
                        && !words.iter().any(|word| word == "not")
                })
    })
}

/// Whether the item is `#[doc(hidden)]`.
#[must_use]
pub fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("doc")
            && list(attr).is_some_and(|tokens| words(tokens).iter().any(|word| word == "hidden"))
    })
}

/// The tokens between an attribute's parentheses.
#[must_use]
pub fn list(attr: &Attribute) -> Option<TokenStream> {
    match &attr.meta {
        Meta::List(list) => Some(list.tokens.clone()),
        _ => None,
    }
}

/// The text of the doc comments, one line a line.
#[must_use]
pub fn docs(attrs: &[Attribute]) -> String {
    let mut text = String::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attr.meta {
            if let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value {
                text.push_str(&line.value());
                text.push('\n');
            }
        }
    }
    text
}

/// The `mod name;` items of a file, those within inline modules left out.
pub fn file_modules(file: &syn::File) -> impl Iterator<Item = &ItemMod> {
    file.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() => Some(module),
        _ => None,
    })
}

/// The items of a file and of its inline modules, tests and hidden ones left out. What a macro
/// such as `pin_project!` wraps is looked into where it reads as items.
#[must_use]
pub fn public_items(items: &[Item]) -> Vec<Item> {
    let mut found = Vec::new();
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    if !is_test(&module.attrs) && !is_hidden(&module.attrs) {
                        found.extend(public_items(items));
                    }
                }
            }
            Item::Macro(call) => {
                if let Ok(file) = syn::parse2::<syn::File>(call.mac.tokens.clone()) {
                    found.extend(public_items(&file.items));
                }
            }
            item => found.push(item.clone()),
        }
    }
    found
}

/// The lines an item covers, its attributes included.
#[must_use]
pub fn lines(module: &ItemMod) -> (usize, usize) {
    let span = module.span();
    let first = module.attrs.iter().map(|attr| attr.span().start().line).min();
    (first.unwrap_or(usize::MAX).min(span.start().line), span.end().line)
}

/// Visits every token of a stream, groups included, with its neighbours: `visit` gets the slice
/// that starts at the token.
pub fn each_token(tokens: TokenStream, visit: &mut dyn FnMut(&[TokenTree])) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for index in 0..trees.len() {
        visit(&trees[index..]);
        if let TokenTree::Group(group) = &trees[index] {
            each_token(group.stream(), visit);
        }
    }
}

/// The identifiers of a stream, groups included; what stands in string literals is not one.
#[must_use]
pub fn words(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    each_token(tokens, &mut |rest| {
        if let TokenTree::Ident(ident) = &rest[0] {
            found.push(ident.to_string());
        }
    });
    found
}

/// Whether the file is Markdown.
#[must_use]
pub fn is_markdown(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "md")
}
