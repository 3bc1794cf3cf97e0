//! What `cargo xtask icount` counts instructions of: `icount CASE TIMES` does something so often,
//! `icount` alone prints the names of the cases.
#![allow(clippy::print_stdout, reason = "the names are its output")]
#![allow(missing_docs, reason = "a program")]

use std::{convert::Infallible, hint::black_box};
use tidegate_core::{CancelToken, Cx, scope};
use tokio::runtime::{Builder, Runtime};

/// Does something so often, and returns how often it was done.
type Case = fn(u64) -> u64;

const CASES: [(&str, Case); 4] = [
    ("child-token", child_token),
    ("is-cancelled", is_cancelled),
    ("empty-scope", empty_scope),
    ("spawn-and-join", spawn_and_join),
];

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) else {
        for (name, _) in &CASES {
            println!("{name}");
        }
        return;
    };
    let times = args.next().and_then(|times| times.parse().ok()).expect("a number");
    assert_eq!(case(times), times, "{name} was done as often");
}

/// One thread: what other threads do meanwhile is not the same twice.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn child_token(times: u64) -> u64 {
    let parent = CancelToken::new();
    (0..times).map(|_| u64::from(!black_box(parent.child()).is_cancelled())).sum()
}

fn is_cancelled(times: u64) -> u64 {
    let token = CancelToken::new().child();
    (0..times).map(|_| u64::from(!black_box(&token).is_cancelled())).sum()
}

fn empty_scope(times: u64) -> u64 {
    runtime().block_on(async {
        let mut done = 0;
        for _ in 0..times {
            done += scope("empty", async |_: Cx<Infallible>| Ok(1)).await.expect("nothing fails");
        }
        done
    })
}

fn spawn_and_join(times: u64) -> u64 {
    runtime().block_on(async {
        let sum = scope("batch", async |cx: Cx<Infallible>| {
            let mut sum = 0;
            for _ in 0..times {
                sum += cx.spawn("one", async { Ok(1) }).await.expect("nothing fails");
            }
            Ok(sum)
        });
        sum.await.expect("nothing fails")
    })
}
