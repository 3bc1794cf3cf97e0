//! `treesum scan`: walk, hash on all cores, write lines.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tidegate_core::CancelToken;
use tidegate_core::sync::Arc;
use tidegate_fs_walk::{
    Entry, EntryRef, FileType, Follow, OpenedFile, Order, Visit, Walk, WalkErrorKind, WalkStream,
};
use tidegate_pipeline::{ItemError, ItemErrorKind, OnError, Pipeline};

use crate::busy::At;
use crate::cli::{Exit, ScanArgs};
use crate::console::Console;
use crate::error::{Fatal, ItemFailure};
use crate::hasher::{self, Buffer, HashError, Source};
use crate::open::is_pseudo;
use crate::output::Own;
use crate::progress::Counters;
use crate::session::{Scope, Session, hash_stage, stats_if};

/// A file and its sum. The path is put together when the line is written.
struct Summed {
    entry: Entry,
    hash: blake3::Hash,
    size: u64,
}

/// Scans until the end, the cancellation of `cx`, or the end of the output.
///
/// # Errors
/// The output cannot be written.
///
/// # Cancel safety
/// Dropping the future leaves no file behind; lines already printed stay printed.
pub(crate) async fn run(
    cx: Scope,
    args: ScanArgs,
    console: Console,
    counters: Arc<Counters>,
) -> Result<Exit, Fatal> {
    let session = Session::open(cx, console, counters, args.output.clone())?;
    let pipeline = pipeline(&session, &args);
    let stats = stats_if(&args.common, pipeline.stats());
    let (mut lines, mut path) = (Vec::new(), Vec::new());
    let result = pipeline
        .for_each_chunk(&session.cx, |files| {
            let done = files.len();
            lines.clear();
            for file in files.drain(..) {
                path.clear();
                file.entry.write_path(&mut path);
                args.format.line(&mut lines, &file.hash, file.size, &path);
            }
            session.output.write(&lines).map_err(ItemFailure::Output)?;
            session.counters.hashed(done);
            Ok(())
        })
        .await;
    if result.is_ok() {
        name_empty(&session, &args);
    }
    let exit = session.close(result, stats.as_ref())?;
    let count = session.counters.now();
    if exit == Exit::Failed && count.found > 0 && !args.quiet {
        let (hashed, found, failed) = (count.hashed, count.found, count.failed);
        let text = format_args!("{hashed} of {found} files hashed, {failed} could not be read");
        session.console.message(text);
    }
    Ok(exit)
}

/// A scan that found nothing at all is an error: most likely the tree is not where it should be.
fn name_empty(session: &Session, args: &ScanArgs) {
    let count = session.counters.now();
    if count.found > 0 || count.failed > 0 {
        return;
    }
    for path in &args.paths {
        session.console.message(ItemFailure::Empty(path.clone()));
        session.counters.failed_one();
        session.counters.lost_a_path();
    }
}

fn pipeline(session: &Session, args: &ScanArgs) -> Pipeline<Summed, ItemFailure> {
    let (console, counters) = (session.console.clone(), Arc::clone(&session.counters));
    let report = move |error: &ItemError<ItemFailure>| {
        match error.kind() {
            // It ends the run, which says so.
            ItemErrorKind::Failed(ItemFailure::Output(_)) => return,
            ItemErrorKind::Failed(failure) => console.message(failure),
            _ => console.message(error),
        }
        counters.failed_one();
    };
    let hash = Hashing {
        stop: session.cx.token().clone(),
        counters: Arc::clone(&session.counters),
        own: Own::of(args.output.as_deref()),
    };
    let files = Files { walk: walk(args).stream(), counters: Arc::clone(&session.counters) };
    let counters = Arc::clone(&session.counters);
    let place = move || (Buffer::new(), counters.busy().desk());
    Pipeline::from_try_stream("walk", files)
        .named("scan")
        .on_error(OnError::Collect { max: 0 })
        .on_item_error(report)
        .filter_map_blocking(
            hash_stage(args.common.threads(), !args.unordered),
            place,
            move |(buffer, desk), entry| {
                let _at = desk.at(At::Entry(entry.clone()));
                hash.one(buffer, entry)
            },
        )
        .sink("write")
}

fn walk(args: &ScanArgs) -> Walk {
    // The parser asks for at least one path; without one there would be nothing to walk.
    let mut paths = args.paths.iter();
    let first = paths.next().map_or_else(|| Path::new("."), PathBuf::as_path);
    let walk = paths.fold(Walk::new(first), Walk::add_root);
    walk.threads(args.common.threads().get())
        .order(if args.unordered { Order::Any } else { Order::Sorted })
        .follow_links(if args.follow { Follow::All } else { Follow::Roots })
        .hidden(!args.no_hidden)
        .gitignore(args.gitignore)
        .max_depth(args.max_depth.unwrap_or(usize::MAX))
        .same_file_system(args.one_file_system)
        .filter(wanted)
}

/// Regular files, and whatever was named on the command line, to say that it is no directory.
fn wanted(entry: &EntryRef<'_>) -> Visit {
    let keep = match entry.file_type() {
        FileType::File | FileType::Unknown => true,
        FileType::Dir => false,
        _ => entry.depth() == 0,
    };
    if keep { Visit::Keep } else { Visit::Omit }
}

/// The files of a walk, counted as they are found.
struct Files {
    walk: WalkStream,
    counters: Arc<Counters>,
}

impl Stream for Files {
    type Item = Result<Entry, ItemFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.walk).poll_next(cx));
        Poll::Ready(match next {
            Some(Ok(entry)) if entry.depth() == 0 => {
                self.counters.lost_a_path();
                Some(Err(ItemFailure::NotADirectory(entry.path())))
            }
            Some(Ok(entry)) => {
                self.counters.found_one();
                Some(Ok(entry))
            }
            Some(Err(error)) => {
                let is_rule = matches!(error.kind(), WalkErrorKind::IgnoreFile(_));
                if error.depth() == 0 && !is_rule {
                    self.counters.lost_a_path();
                }
                Some(Err(ItemFailure::Walk(error)))
            }
            None => {
                self.counters.found_all();
                None
            }
        })
    }
}

impl Source for OpenedFile {
    fn is_pseudo(&self) -> bool {
        is_pseudo(self.file())
    }
}

/// What the hashing threads share.
struct Hashing {
    stop: CancelToken,
    counters: Arc<Counters>,
    own: Own,
}

impl Hashing {
    /// The sum of one file; none if the run was stopped meanwhile, or if the file is the output.
    fn one(&self, buffer: &mut Buffer, entry: Entry) -> Result<Option<Summed>, ItemFailure> {
        if self.stop.is_cancelled() {
            self.counters.stopped_one();
            return Ok(None);
        }
        let opened = entry.open();
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => return Err(ItemFailure::File(entry.path(), HashError::Read(error))),
        };
        if self.own.is(file.metadata(), entry.file_name(), entry.is_followed_link()) {
            self.counters.left_out();
            return Ok(None);
        }
        let size = file.len();
        match hasher::hash(&mut file, size, buffer, || self.stop.is_cancelled()) {
            Ok((hash, size)) => {
                self.counters.read(size);
                Ok(Some(Summed { entry, hash, size }))
            }
            Err(HashError::Stopped) => {
                self.counters.stopped_one();
                Ok(None)
            }
            Err(error) => Err(ItemFailure::File(entry.path(), error)),
        }
    }
}
