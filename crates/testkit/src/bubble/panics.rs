//! Panics of tasks, which tokio catches and hands to whoever awaits the handle: often nobody.

use super::shared::Inside;
use crate::payload;
use std::{
    backtrace::Backtrace,
    panic::{PanicHookInfo, set_hook, take_hook},
    sync::Once,
};

/// From now on panics of tasks in bubbles are noted, beside what the program does with panics.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = take_hook();
        set_hook(Box::new(move |info| {
            note(info);
            next(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let Some(shared) = Inside::current() else { return };
    let looks = shared.look_at_stack();
    let is_caught_by_tokio = is_caught_by_tokio(&Backtrace::force_capture().to_string());
    drop(looks);
    if !is_caught_by_tokio {
        return;
    }
    let at = info.location().map_or_else(String::new, |at| format!("{at}: "));
    shared.note_panic(format!("{at}{}", payload::text(info.payload())));
}

/// Whether the innermost function that catches this panic is the one in which tokio polls a task.
/// What somebody else catches is their business, and that of the test goes on in it.
///
/// A build without line tables does not say: what catches is part of another function there. Then
/// it is taken for tokio, since a panic that nobody hears of must not pass.
fn is_caught_by_tokio(stack: &str) -> bool {
    let mut frames = stack.lines().map(str::trim).filter(|line| !line.starts_with("at "));
    if !frames.by_ref().any(|frame| CATCHES.iter().any(|name| frame.contains(name))) {
        return true;
    }
    // The functions that catch are not told from those that they call for by all compilers: what
    // counts is the first function that is not of the standard library.
    frames
        .map(|frame| frame.split_once(": ").map_or(frame, |(_, function)| function))
        .find(|function| !is_std(function))
        .is_some_and(|function| function.contains("tokio::runtime::"))
}

const CATCHES: [&str; 4] =
    ["catch_unwind", "panicking::try", "__rust_try", "catch_unwind::do_call"];

fn is_std(function: &str) -> bool {
    let function = function.trim_start_matches('<');
    ["std::", "core::", "alloc::", "__rust_try"].iter().any(|of| function.starts_with(of))
        || CATCHES.iter().any(|name| function.contains(name))
        || function.starts_with("do_call")
}
