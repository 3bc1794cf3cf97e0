//! What is written in the parentheses of the attribute.

use crate::time;
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use std::{collections::BTreeSet, time::Duration};
use syn::{Expr, Lit, LitInt, Meta, Token, parse::Parser as _, punctuated::Punctuated};

const KNOWN: &str = "real_io, seed, seeds, budget, move_budget, poll_budget, patience, grace, allow_tasks, allow_panics";

/// What is asked for.
pub(crate) struct Options {
    /// The calls of the builder's setters, in the order in which they are written.
    pub(crate) setters: TokenStream,
    /// How many seeds the test is run with, if not one.
    pub(crate) seeds: Option<LitInt>,
}

pub(crate) fn parse(options: TokenStream) -> syn::Result<Options> {
    let options = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(options)?;
    let mut seen = BTreeSet::new();
    let mut parsed = Options { setters: TokenStream::new(), seeds: None };
    for option in options {
        let name = option.path().require_ident()?.clone();
        if !seen.insert(name.to_string()) {
            return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
        }
        if name == "seeds" {
            let seeds = number::<u64>(&option)?;
            parsed.seeds = Some(some(seeds, "a test that is run with no seed is not run")?);
        } else {
            parsed.setters.extend(setter(&name, &option)?);
        }
        if seen.contains("seed") && seen.contains("seeds") {
            let what = "either one `seed` or a number of `seeds`";
            return Err(syn::Error::new(name.span(), what));
        }
    }
    Ok(parsed)
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
        "move_budget" => {
            let moves = some(number::<u64>(option)?, "a clock that never moves fires no timer")?;
            quote_spanned!(span=> .move_budget(#moves))
        }
        "poll_budget" => {
            let polls = some(number::<u64>(option)?, "a test that is never polled does not begin")?;
            quote_spanned!(span=> .poll_budget(#polls))
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

/// A number that is not 0.
fn some(number: LitInt, what: &str) -> syn::Result<LitInt> {
    if number.base10_parse::<u64>()? == 0 {
        return Err(syn::Error::new(number.span(), what));
    }
    Ok(number)
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
