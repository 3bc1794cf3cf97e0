//! `treesum verify`: read a manifest, hash the files it names, say which of them differ.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tidegate_core::CancelToken;
use tidegate_core::sync::Arc;
use tidegate_pipeline::{OnError, Pipeline};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::busy::{At, Desk};
use crate::cli::{Exit, VerifyArgs};
use crate::console::Console;
use crate::error::{Fatal, ItemFailure, line};
use crate::format::verdict_line;
use crate::hasher::{self, Buffer, HashError};
use crate::manifest::{Entry, Line, LineError, Lines, Outside, stays_inside};
use crate::open::{OpenError, open_regular};
use crate::progress::Counters;
use crate::session::{Scope, Session, hash_stage, stats_if};

/// Lines that have been read and are not being checked yet.
const QUEUED: usize = 256;

/// Bytes of lines that may be on their way from the manifest to the report: without a bound, long
/// paths behind one file that takes its time would fill the memory.
const ROOM: usize = 16 << 20;

/// What became of one line of the manifest.
#[derive(Debug)]
enum Verdict {
    Same,
    Changed,
    Missing,
    Unreadable(String),
    Refused(Outside),
    /// The line is no entry.
    Broken(LineError),
    /// The run was stopped before this file was read.
    NotDone,
}

/// One line of the manifest, checked.
#[derive(Debug)]
struct Checked {
    number: u64,
    path: PathBuf,
    verdict: Verdict,
}

/// How many lines came to which end.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    changed: usize,
    missing: usize,
    unreadable: usize,
    refused: usize,
    broken: usize,
}

impl Tally {
    fn bad(&self) -> usize {
        self.changed + self.missing + self.unreadable + self.refused + self.broken
    }

    fn lines(&self) -> usize {
        self.same + self.bad()
    }

    fn hashed(&self) -> usize {
        self.same + self.changed
    }

    fn count(&mut self, verdict: &Verdict) {
        let of = match verdict {
            Verdict::Same => &mut self.same,
            Verdict::Changed => &mut self.changed,
            Verdict::Missing => &mut self.missing,
            Verdict::Unreadable(_) => &mut self.unreadable,
            Verdict::Refused(_) => &mut self.refused,
            Verdict::Broken(_) => &mut self.broken,
            Verdict::NotDone => return,
        };
        *of += 1;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ok, {} changed, {} missing, {} unreadable",
            self.same, self.changed, self.missing, self.unreadable
        )?;
        for (n, what) in [(self.refused, "refused"), (self.broken, "broken lines")] {
            if n > 0 {
                write!(f, ", {n} {what}")?;
            }
        }
        Ok(())
    }
}

/// Verifies until the end, the cancellation of `cx`, or the end of the output.
///
/// # Errors
/// The manifest cannot be read, or the output cannot be written.
///
/// # Cancel safety
/// Dropping the future stops the run; nothing but printed lines is left of it.
pub(crate) async fn run(
    cx: Scope,
    args: VerifyArgs,
    console: Console,
    counters: Arc<Counters>,
) -> Result<Exit, Fatal> {
    let lines = open_manifest(&args.manifest)?;
    let session = Session::open(cx, console, counters, None)?;
    let pipeline = pipeline(&session, &args, lines);
    let stats = stats_if(&args.common, pipeline.stats());
    let mut tally = Tally::default();
    let mut text = Vec::new();
    let result = pipeline
        .for_each_chunk(&session.cx, |checked| {
            let before = tally.hashed();
            text.clear();
            for (one, _share) in checked.drain(..) {
                tally.count(&one.verdict);
                tell(&one, &args, &session.console, &mut text);
            }
            session.output.write(&text).map_err(ItemFailure::Output)?;
            session.counters.hashed(tally.hashed() - before);
            Ok(())
        })
        .await;
    let mut exit = session.close(result, stats.as_ref())?;
    if exit == Exit::Done && tally.lines() == 0 {
        // Not what a tree without files looks like to whoever relies on the exit code.
        session.console.message(format_args!("{}: no lines to verify", line(&args.manifest)));
        return Ok(Exit::Failed);
    }
    if exit == Exit::Done && tally.bad() > 0 {
        exit = Exit::Failed;
    }
    if !args.quiet && matches!(exit, Exit::Done | Exit::Failed | Exit::Interrupted) {
        session.console.message(format_args!("{}: {tally}", line(&args.manifest)));
    }
    Ok(exit)
}

fn open_manifest(path: &Path) -> Result<Lines<Box<dyn BufRead + Send>>, Fatal> {
    let reader: Box<dyn BufRead + Send> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(path).map_err(|error| Fatal::Manifest(path.to_owned(), error))?;
        Box::new(BufReader::with_capacity(64 << 10, file))
    };
    Ok(Lines::new(reader))
}

/// A line, and its share of the bytes that may be on their way.
type Held = (Line, OwnedSemaphorePermit);

/// Reads the manifest on a thread of its own: whoever writes it may take his time.
fn feed(session: &Session, lines: Lines<Box<dyn BufRead + Send>>) -> Receiver<io::Result<Held>> {
    let (send, receive) = mpsc::channel(QUEUED);
    let room = Arc::new(Semaphore::new(ROOM));
    let (token, counters) = (session.cx.token().clone(), Arc::clone(&session.counters));
    let runtime = Handle::current();
    let share = move |line: &Line| {
        let path = line.1.as_ref().map_or(0, |entry| entry.path.as_os_str().len());
        let bytes = u32::try_from(path + size_of::<Held>()).unwrap_or(u32::MAX);
        let now = Arc::clone(&room).try_acquire_many_owned(bytes);
        let wait = || runtime.block_on(token.run(Arc::clone(&room).acquire_many_owned(bytes)));
        // None: the run was cancelled meanwhile.
        now.ok().or_else(|| wait().ok()?.ok())
    };
    drop(session.cx.spawn_blocking("manifest", move || {
        for line in lines {
            let held = match line {
                Ok(line) => {
                    counters.found_one();
                    let Some(share) = share(&line) else { return Ok(()) };
                    Ok((line, share))
                }
                Err(error) => Err(error),
            };
            if send.blocking_send(held).is_err() {
                return Ok(());
            }
        }
        counters.found_all();
        Ok(())
    }));
    receive
}

/// The lines as they come.
struct Manifest {
    lines: Receiver<io::Result<Held>>,
    path: PathBuf,
}

impl Stream for Manifest {
    type Item = Result<Held, ItemFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.lines.poll_recv(cx));
        let failed = |error| ItemFailure::Manifest(self.path.clone(), error);
        Poll::Ready(next.map(|held| held.map_err(failed)))
    }
}

fn pipeline(
    session: &Session,
    args: &VerifyArgs,
    lines: Lines<Box<dyn BufRead + Send>>,
) -> Pipeline<(Checked, OwnedSemaphorePermit), ItemFailure> {
    let checker = Checker {
        stop: session.cx.token().clone(),
        counters: Arc::clone(&session.counters),
        allow_outside: args.allow_outside,
    };
    let manifest = Manifest { lines: feed(session, lines), path: args.manifest.clone() };
    let counters = Arc::clone(&session.counters);
    let place = move || (Buffer::new(), counters.busy().desk());
    Pipeline::from_try_stream("manifest", manifest)
        .named("verify")
        .on_error(OnError::FailFast)
        .map_blocking(
            hash_stage(args.common.threads(), true),
            place,
            move |(buffer, desk), (line, share)| Ok((checker.line(buffer, desk, line), share)),
        )
        .sink("report")
}

/// What the hashing threads share.
struct Checker {
    stop: CancelToken,
    counters: Arc<Counters>,
    allow_outside: bool,
}

impl Checker {
    fn line(&self, buffer: &mut Buffer, desk: &Desk, (number, line): Line) -> Checked {
        let (path, verdict) = match line {
            Ok(Entry { path, hash }) => {
                let _at = desk.at(At::Path(path.clone()));
                let verdict = self.check(buffer, &path, &hash);
                (path, verdict)
            }
            Err(error) => (PathBuf::new(), Verdict::Broken(error)),
        };
        match verdict {
            Verdict::Same | Verdict::Changed => {}
            Verdict::NotDone => self.counters.stopped_one(),
            _ => self.counters.failed_one(),
        }
        Checked { number, path, verdict }
    }

    fn check(&self, buffer: &mut Buffer, path: &Path, expected: &blake3::Hash) -> Verdict {
        if self.stop.is_cancelled() {
            return Verdict::NotDone;
        }
        if !self.allow_outside
            && let Err(outside) = stays_inside(path)
        {
            return Verdict::Refused(outside);
        }
        let (mut file, size) = match open_regular(path) {
            Ok(opened) => opened,
            Err(OpenError::Missing) => return Verdict::Missing,
            Err(error) => return Verdict::Unreadable(error.to_string()),
        };
        match hasher::hash(&mut file, size, buffer, || self.stop.is_cancelled()) {
            Ok((hash, bytes)) => {
                self.counters.read(bytes);
                if hash == *expected { Verdict::Same } else { Verdict::Changed }
            }
            Err(HashError::Stopped) => Verdict::NotDone,
            Err(error) => Verdict::Unreadable(error.to_string()),
        }
    }
}

/// What was checked goes to standard output, what could not be checked to standard error.
fn tell(one: &Checked, args: &VerifyArgs, console: &Console, text: &mut Vec<u8>) {
    let verdict = match &one.verdict {
        Verdict::Same if args.quiet => return,
        Verdict::Same => "OK".to_owned(),
        Verdict::Changed => "FAILED (changed)".to_owned(),
        Verdict::Missing => "FAILED (missing)".to_owned(),
        Verdict::Unreadable(why) => format!("FAILED (unreadable: {why})"),
        Verdict::Refused(why) => {
            let (manifest, path) = (line(&args.manifest), line(&one.path));
            return console.message(format_args!("{manifest}:{}: {path}: {why}", one.number));
        }
        Verdict::Broken(why) => {
            let manifest = line(&args.manifest);
            return console.message(format_args!("{manifest}:{}: {why}", one.number));
        }
        Verdict::NotDone => return,
    };
    verdict_line(text, one.path.as_os_str().as_bytes(), &verdict);
}
