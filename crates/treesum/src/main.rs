#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cli;
mod console;
mod error;
mod format;
mod hasher;
mod manifest;
mod open;
mod output;
mod progress;
mod report;
mod scan;
mod session;
mod verify;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tidegate_core::App;
use tidegate_core::sync::Arc;

use crate::cli::{Cli, Command, Exit};
use crate::console::Console;
use crate::progress::Counters;
use crate::session::Scope;

/// Threads of the runtime. Writing may block two of them (the sink and the flusher) on a reader
/// that does not read; the others still hear a signal.
const WORKERS: usize = 4;

/// With the second in which aborted work may still end, a signal ends the program within two.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let threads = match &command {
        Command::Scan(args) => args.common.threads(),
        Command::Verify(args) => args.common.threads(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(threads.get() + 1)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            Console::new(false, true).message(format_args!("cannot start: {error}"));
            return ExitCode::from(Exit::Failed.code());
        }
    };
    let exit = runtime.block_on(run(command));
    // A thread that hangs in a read or a write must not keep the program alive.
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}

/// Runs the command until it ends or a signal ends it.
async fn run(command: Command) -> Exit {
    let console = match &command {
        Command::Scan(args) => Console::new(!args.quiet, args.output.is_none()),
        Command::Verify(args) => Console::new(!args.quiet, true),
    };
    let counters = Arc::new(Counters::default());
    let (shown, count) = (console.clone(), Arc::clone(&counters));
    let report = App::new("treesum")
        .grace(GRACE)
        .run(async move |cx| Ok::<_, Infallible>(root(&cx, command, console, counters).await))
        .await;
    let exit = match report.into_result() {
        Some(Ok(exit)) => exit,
        // Given up, or ended by the signal before the work had begun.
        _ => Exit::Interrupted,
    };
    if exit == Exit::Interrupted {
        shown.progress().clear();
        shown.message(count.now().interrupted());
    }
    exit
}

/// The root task: the work is a child, so that a signal is heard while it writes.
async fn root(cx: &Scope, command: Command, console: Console, counters: Arc<Counters>) -> Exit {
    let (child, shown) = (cx.clone(), console.clone());
    let work = async move {
        let exit = match command {
            Command::Scan(args) => scan::run(child, args, console.clone(), counters).await,
            Command::Verify(args) => verify::run(child, args, console.clone(), counters).await,
        };
        Ok(exit.unwrap_or_else(|fatal| {
            console.message(fatal);
            Exit::Failed
        }))
    };
    match cx.spawn("work", work).await {
        Ok(exit) => exit,
        Err(_) if cx.is_cancelled() => Exit::Interrupted,
        Err(error) => {
            shown.message(error);
            Exit::Failed
        }
    }
}
