//! What is written in the parentheses of the attribute.

use crate::time;
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use std::{collections::BTreeSet, time::Duration};
use syn::{Expr, Lit, LitInt, Meta, Token, parse::Parser as _, punctuated::Punctuated};

const KNOWN: &str = "real_io, seed, budget, patience, grace, allow_tasks, allow_panics";

/// The calls of the builder's setters, in the order in which they are written.
pub(crate) fn setters(options: TokenStream) -> syn::Result<TokenStream> {
    let options = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(options)?;
    let mut seen = BTreeSet::new();
    let mut setters = TokenStream::new();
    for option in options {
        let name = option.path().require_ident()?.clone();
        if !seen.insert(name.to_string()) {
            return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
        }
        setters.extend(setter(&name, &option)?);
    }
    Ok(setters)
}

fn setter(name: &Ident, option: &Meta) -> syn::Result<TokenStream> {
    let span = name.span();
    Ok(match name.to_string().as_str() {
        "real_io" => {
            flag(option)?;
            quote_spanned!(span=> .mode(::tidegate_testkit::Mode::RealIo))
        }
        "allow_panics" => {
            flag(option)?;
            quote_spanned!(span=> .allow_panics())
        }
        "seed" => {
            let seed = number::<u64>(option)?;
            quote_spanned!(span=> .seed(::tidegate_testkit::Seed::new(#seed)))
        }
        "allow_tasks" => {
            let tasks = number::<usize>(option)?;
            quote_spanned!(span=> .allow_tasks(#tasks))
        }
        "budget" => {
            let budget = some_time(option)?;
            quote_spanned!(span=> .virtual_budget(#budget))
        }
        "patience" => {
            let patience = some_time(option)?;
            quote_spanned!(span=> .patience(#patience))
        }
        "grace" => {
            let grace = duration(any_time(option)?);
            quote_spanned!(span=> .grace(#grace))
        }
        _ => {
            let what = format!("there is no option `{name}`; those that there are: {KNOWN}");
            return Err(syn::Error::new(span, what));
        }
    })
}

/// An option without a value.
fn flag(option: &Meta) -> syn::Result<()> {
    let Meta::Path(path) = option else {
        let name = option.path().require_ident()?;
        let what = format!("`{name}` has no value: it is there, or it is not");
        return Err(syn::Error::new_spanned(option, what));
    };
    path.require_ident().map(drop)
}

/// The literal of `name = literal`.
fn value<'a>(option: &'a Meta, example: &str) -> syn::Result<&'a Lit> {
    let name = option.path().require_ident()?;
    let what = || format!("`{name}` has a value, such as `{name} = {example}`");
    match option {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(value) => Ok(&value.lit),
            other => Err(syn::Error::new_spanned(other, what())),
        },
        other => Err(syn::Error::new_spanned(other, what())),
    }
}

fn number<N>(option: &Meta) -> syn::Result<LitInt>
where
    N: std::str::FromStr,
    N::Err: std::fmt::Display,
{
    match value(option, "7")? {
        Lit::Int(number) => number.base10_parse::<N>().map(|_| number.clone()),
        other => Err(syn::Error::new(other.span(), "a whole number is expected, such as 7")),
    }
}

fn any_time(option: &Meta) -> syn::Result<Duration> {
    match value(option, "\"1h\"")? {
        Lit::Str(text) => {
            time::parse(&text.value()).map_err(|what| syn::Error::new(text.span(), what))
        }
        other => Err(syn::Error::new(other.span(), "a time is a text, such as \"1h\"")),
    }
}

/// A time of which there is some.
fn some_time(option: &Meta) -> syn::Result<TokenStream> {
    let time = any_time(option)?;
    if time.is_zero() {
        let name = option.path().require_ident()?;
        let what = format!("a `{name}` of no time at all: any test would fail");
        return Err(syn::Error::new_spanned(option, what));
    }
    Ok(duration(time))
}

fn duration(time: Duration) -> TokenStream {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}
