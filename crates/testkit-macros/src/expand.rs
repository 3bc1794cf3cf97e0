//! From the function that is written to the test that runs it.

use crate::options::{self, Options};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Signature};

/// The test, or an error in its place. What is written stays in it then, so that the compiler says
/// what else is wrong with that.
pub(crate) fn test(options: TokenStream, function: &TokenStream) -> TokenStream {
    let parsed = match syn::parse2::<ItemFn>(function.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #function);
        }
    };
    match expand(options, parsed) {
        Ok(test) => test,
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#error #[allow(dead_code)] #function)
        }
    }
}

fn expand(options: TokenStream, function: ItemFn) -> syn::Result<TokenStream> {
    let Options { setters, seeds } = options::parse(options)?;
    check(&function.sig)?;
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (name, output) = (&sig.ident, &sig.output);
    let bubble = quote!(::tidegate_testkit::Bubble::builder() #setters);
    let (output, run) = match seeds {
        None => (quote!(#output), quote!(::tidegate_testkit::__run_test(#bubble, #name()))),
        // What it returns each time is part of the report.
        Some(seeds) => {
            (quote!(), quote!(::tidegate_testkit::__explore_test(#bubble, #seeds, #name)))
        }
    };
    // A function of its own within the test, so that `?` knows the type that is returned.
    Ok(quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            #[allow(clippy::unused_async, reason = "a test is async, whether or not it awaits")]
            #sig #block
            #run
        }
    })
}

fn check(sig: &Signature) -> syn::Result<()> {
    if sig.asyncness.is_none() {
        let what = "a test in a bubble is an `async fn`; one that is not needs no bubble";
        return Err(Error::new_spanned(sig.fn_token, what));
    }
    if !sig.inputs.is_empty() {
        let what = "a test has no arguments: nobody is there to give them";
        return Err(Error::new_spanned(&sig.inputs, what));
    }
    if !sig.generics.params.is_empty() {
        let what = "a test is not generic: write one for each type, which call a function that is";
        return Err(Error::new_spanned(&sig.generics, what));
    }
    if let Some(clause) = &sig.generics.where_clause {
        return Err(Error::new_spanned(clause, "a test is not generic: there is nothing to bound"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(options: &str, function: &str) -> syn::Result<String> {
        let function = syn::parse_str(function).unwrap();
        Ok(expand(options.parse().unwrap(), function)?.to_string())
    }

    const PLAIN: &str = "async fn t() {}";

    /// What is wrong, and the text that the compiler underlines.
    #[track_caller]
    fn is_refused(options: &str, function: &str, what: &str, at: &str) {
        let error = expanded(options, function).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        let of = if options.is_empty() { function } else { options };
        let (start, end) = (error.span().start().column, error.span().end().column);
        assert_eq!(&of[start..end], at, "{error}");
    }

    #[test]
    fn attributes_and_the_result_are_kept() {
        let function =
            "#[should_panic(expected = \"x\")] #[cfg(unix)] pub async fn t() -> R { f()? }";
        let test = expanded("", function).unwrap();
        let head = "# [should_panic (expected = \"x\")] # [cfg (unix)] # [:: core :: prelude :: v1 :: \
                    test] pub fn t () -> R {";
        assert!(test.starts_with(head), "{test}");
        assert!(test.contains("async fn t () -> R { f () ? }"), "{test}");
    }

    #[test]
    fn each_option_is_a_call() {
        let options = "move_budget = 8, poll_budget = 9, real_io, seed = 0x1f, budget = \"1h\", patience = \"5s\", grace = \"50ms\", \
                       allow_tasks = 1, allow_panics,";
        let test = expanded(options, PLAIN).unwrap().replace(' ', "");
        let time = |millis| format!("::core::time::Duration::from_millis({millis}u64)");
        let calls = [
            ".move_budget(8).poll_budget(9).mode(::tidegate_testkit::Mode::RealIo)".to_owned(),
            ".seed(::tidegate_testkit::Seed::new(0x1f))".to_owned(),
            format!(".virtual_budget({})", time(3_600_000)),
            format!(".patience({})", time(5_000)),
            format!(".grace({})", time(50)),
            ".allow_tasks(1).allow_panics()".to_owned(),
        ];
        assert!(test.contains(&calls.concat()), "{test}");
    }

    #[test]
    fn seeds_make_a_test_of_many_runs() {
        let test = expanded("seeds = 64, grace = \"1s\"", "async fn t() -> R {}").unwrap();
        assert!(test.contains(":: core :: prelude :: v1 :: test] fn t () {"), "{test}");
        let run = test.replace(' ', "");
        assert!(
            run.contains("__explore_test(::tidegate_testkit::Bubble::builder().grace("),
            "{run}"
        );
        assert!(run.ends_with(",64,t)}"), "{run}");
    }

    #[test]
    fn options_that_are_wrong_are_refused_where_they_stand() {
        let refused = |options, what, at| is_refused(options, PLAIN, what, at);
        refused("real_io, sed = 7", "no option `sed`; those that there are: real_io, seed", "sed");
        refused("seed = 7, seed = 8", "`seed` is given twice", "seed");
        refused("seed = 7, seeds = 8", "either one", "seeds");
        refused("move_budget = 0", "never moves", "0");
        refused("poll_budget = 0x0", "does not begin", "0x0");
        refused("seeds = 0", "is not run", "0");
        refused("real_io = true", "`real_io` has no value", "real_io = true");
        refused("allow_panics()", "`allow_panics` has no value", "allow_panics()");
        refused("seed", "such as `seed = 7`", "seed");
        refused("seed = 1 + 1", "such as `seed = 7`", "1 + 1");
        refused("seed = \"7\"", "a whole number", "\"7\"");
        refused("seed = 18446744073709551616", "too large", "18446744073709551616");
        refused("allow_tasks = 1.5", "a whole number", "1.5");
        refused("budget = 5", "a time is a text", "5");
        refused("budget = \"5\"", "a time has a unit", "\"5\"");
        refused("patience = \"0s\"", "of no time at all", "patience = \"0s\"");
        refused("a::b = 1", "expected this path to be an identifier", "a::b");
    }

    #[test]
    fn functions_that_are_no_test_are_refused_where_they_stand() {
        let refused = |function, what, at| is_refused("", function, what, at);
        refused("fn t() {}", "an `async fn`", "fn");
        refused("async fn t(a: u8, b: u8) {}", "no arguments", "a: u8, b: u8");
        refused("async fn t<T>() {}", "not generic", "<T>");
        refused("async fn t() where u8: Copy {}", "nothing to bound", "where u8: Copy");
    }

    #[test]
    fn what_is_no_function_stays_beside_the_error() {
        let text = test(TokenStream::new(), &"struct S ;".parse().unwrap()).to_string();
        assert!(text.contains("compile_error") && text.ends_with("struct S ;"), "{text}");
    }
}
