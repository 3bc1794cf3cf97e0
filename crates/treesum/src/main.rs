#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod busy;
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
use std::iter::once;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use tidegate_core::App;
use tidegate_core::inspect::Snapshot;
use tidegate_core::sync::Arc;

use crate::cli::{Cli, Command, Exit};
use crate::console::Console;
use crate::error::line;
use crate::progress::Counters;
use crate::session::Scope;

/// Threads of the runtime. Whoever does not read may block four of them: the tasks that write
/// results, flush, draw, and report errors. The fifth still hears a signal.
const WORKERS: usize = 5;

/// With the second in which aborted work may still end, a signal ends the program within two.
const GRACE: Duration = Duration::from_secs(1);

/// How long the last words may take: whoever reads stderr may have stopped reading.
const LAST_WORDS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let threads = match &command {
        Command::Scan(args) => args.common.threads(),
        Command::Verify(args) => args.common.threads(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        // The hashing threads, the reader of a manifest, and one to spare.
        .max_blocking_threads(threads.get() + 2)
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
    // A signal that comes after the work was done does not undo it.
    let done = Arc::new(OnceLock::new());
    let (shown, count, ended) = (console.clone(), Arc::clone(&counters), Arc::clone(&done));
    let (asked, busy) = (console.clone(), Arc::clone(&counters));
    let report = App::new("treesum")
        .grace(GRACE)
        .on_dump(move |snapshot| asked.raw(&picture(snapshot, &busy)))
        .run(async move |cx| {
            let work = Work { command, console, counters, done };
            root(&cx, work).await;
            Ok::<_, Infallible>(())
        })
        .await;
    let exit = ended.get().copied().unwrap_or(Exit::Interrupted);
    if exit == Exit::Interrupted {
        let mut words: Vec<String> =
            report.stuck().iter().map(|task| format!("still running: {task}")).collect();
        let files = count.busy().files();
        words.extend(files.iter().map(|path| format!("still reading: {}", line(path))));
        words.push(count.now().interrupted());
        say_last(shown, words);
    }
    exit
}

/// What runs, and which files are being read.
fn picture(snapshot: &Snapshot, counters: &Counters) -> String {
    let files = counters.busy().files();
    let files = files.iter().map(|path| format!("reading {}\n", line(path)));
    once(snapshot.to_string()).chain(files).collect()
}

/// Writes to stderr on a thread of its own, and does not wait for ever.
fn say_last(console: Console, words: Vec<String>) {
    let (said, heard) = mpsc::sync_channel(0);
    let speaker = thread::Builder::new().name("treesum-last-words".to_owned()).spawn(move || {
        console.progress().clear();
        for line in words {
            console.message(line);
        }
        drop(said);
    });
    if speaker.is_ok() {
        let _disconnected: Result<(), RecvTimeoutError> = heard.recv_timeout(LAST_WORDS);
    }
}

/// What the work needs.
struct Work {
    command: Command,
    console: Console,
    counters: Arc<Counters>,
    /// How it ended, once it has.
    done: Arc<OnceLock<Exit>>,
}

/// The root task: the work is a child, so that a signal is heard while it writes.
async fn root(cx: &Scope, work: Work) {
    let Work { command, console, counters, done } = work;
    let (child, shown) = (cx.clone(), console.clone());
    let ended = Arc::clone(&done);
    let work = async move {
        let exit = match command {
            Command::Scan(args) => scan::run(child, args, console.clone(), counters).await,
            Command::Verify(args) => verify::run(child, args, console.clone(), counters).await,
        };
        let exit = exit.unwrap_or_else(|fatal| {
            console.message(fatal);
            Exit::Failed
        });
        ended.get_or_init(|| exit);
        Ok(())
    };
    if let Err(error) = cx.spawn("work", work).await
        && !cx.is_cancelled()
    {
        shown.message(error);
        done.get_or_init(|| Exit::Failed);
    }
}
