//! `treesum verify`: read a manifest, hash the files it names, say which of them differ.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tidegate_core::CancelToken;
use tidegate_core::sync::Arc;
use tidegate_pipeline::{OnError, Pipeline};

use crate::cli::{Exit, VerifyArgs};
use crate::console::Console;
use crate::error::{Fatal, ItemFailure, line};
use crate::format::verdict_line;
use crate::hasher::{self, Buffer, HashError};
use crate::manifest::{Entry, Line, LineError, Lines, Outside, stays_inside};
use crate::open::{OpenError, open_regular};
use crate::progress::Counters;
use crate::session::{Scope, Session, hash_stage, stats_if};

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
            for one in checked.drain(..) {
                tally.count(&one.verdict);
                tell(&one, &args, &session.console, &mut text);
            }
            session.output.write(&text).map_err(ItemFailure::Output)?;
            session.counters.hashed(tally.hashed() - before);
            Ok(())
        })
        .await;
    let exit = match session.close(result, stats.as_ref())? {
        Exit::Done if tally.bad() > 0 => Exit::Failed,
        exit => exit,
    };
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

fn pipeline(
    session: &Session,
    args: &VerifyArgs,
    lines: Lines<Box<dyn BufRead + Send>>,
) -> Pipeline<Checked, ItemFailure> {
    let checker = Checker {
        stop: session.cx.token().clone(),
        counters: Arc::clone(&session.counters),
        allow_outside: args.allow_outside,
    };
    let (counters, manifest) = (Arc::clone(&session.counters), args.manifest.clone());
    let count = move |read: io::Result<Line>| {
        let line = read.map_err(|error| ItemFailure::Manifest(manifest.clone(), error))?;
        counters.found_one();
        Ok(line)
    };
    let counters = Arc::clone(&session.counters);
    let end = std::iter::from_fn(move || {
        counters.found_all();
        None
    });
    Pipeline::from_iter("manifest", lines.chain(end))
        .named("verify")
        .on_error(OnError::FailFast)
        .map("parse", count)
        .map_blocking(hash_stage(args.common.threads(), true), Buffer::new, move |buffer, line| {
            Ok(checker.line(buffer, line))
        })
        .sink("report")
}

/// What the hashing threads share.
struct Checker {
    stop: CancelToken,
    counters: Arc<Counters>,
    allow_outside: bool,
}

impl Checker {
    fn line(&self, buffer: &mut Buffer, (number, line): Line) -> Checked {
        let (path, verdict) = match line {
            Ok(Entry { path, hash }) => {
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
