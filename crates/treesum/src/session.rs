//! What scanning and verifying have in common: the output, the progress line, and the end.

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use tidegate_core::sync::Arc;
use tidegate_core::{CancelToken, Cx};
use tidegate_pipeline::{ItemErrorKind, PipelineError, Reason, Stage, StatsHandle, Summary};

use crate::cli::{Common, Exit};
use crate::console::Console;
use crate::error::{Fatal, ItemFailure, line};
use crate::output::Output;
use crate::progress::Counters;
use crate::report;

/// How many results may wait, in ordered output, for one file that takes longer.
const WINDOW: usize = 65_536;

/// The scope of a run: nothing in it fails but by way of its own report.
pub(crate) type Scope = Cx<Infallible>;

/// A run in progress.
pub(crate) struct Session {
    pub(crate) cx: Scope,
    pub(crate) console: Console,
    pub(crate) counters: Arc<Counters>,
    pub(crate) output: Output,
    path: Option<PathBuf>,
    /// Cancelled when the run ends: stops the attendant.
    ended: CancelToken,
}

impl Session {
    /// Opens the output and starts the task that draws the progress line and flushes.
    ///
    /// # Errors
    /// The output cannot be opened.
    pub(crate) fn open(
        cx: Scope,
        console: Console,
        counters: Arc<Counters>,
        path: Option<PathBuf>,
    ) -> Result<Self, Fatal> {
        let output = Output::open(path.as_deref())?;
        let ended = cx.token().child();
        let session = Self { cx, console, counters, output, path, ended };
        session.attend();
        Ok(session)
    }

    fn attend(&self) {
        let (ended, output) = (self.ended.clone(), self.output.clone());
        let flushing = async move {
            // Ends by cancellation only, which is no failure.
            ended.run(output.keep_flushing()).await.ok();
            Ok(())
        };
        drop(self.cx.spawn("flush", flushing));
        let (ended, progress) = (self.ended.clone(), self.console.progress().clone());
        let counters = Arc::clone(&self.counters);
        let drawing = async move {
            ended.run(progress.draw(&counters)).await.ok();
            Ok(())
        };
        drop(self.cx.spawn("progress", drawing));
    }

    /// Closes the output, and says how the run ended and whatever else was asked for.
    ///
    /// # Errors
    /// The output could not be written, or a stage panicked.
    pub(crate) fn close(
        &self,
        result: Result<Summary<ItemFailure>, PipelineError<ItemFailure>>,
        stats: Option<&StatsHandle>,
    ) -> Result<Exit, Fatal> {
        self.ended.cancel("the run has ended");
        let ended = match result {
            Ok(_) if self.counters.any_stopped() => {
                self.output.abandon();
                Ok(Some(Exit::Interrupted))
            }
            Ok(_) if self.counters.has_lost_a_path() => self.keep_old().map(|()| None),
            Ok(_) => self.output.finish().map(|()| None),
            Err(error) => {
                self.output.abandon();
                self.reason(error.into_parts().0).map(Some)
            }
        };
        self.console.progress().clear();
        if let Some(stats) = stats {
            self.console.raw(&report::table(&stats.snapshot(), self.counters.now()));
        }
        match ended {
            Ok(Some(exit)) => Ok(exit),
            Ok(None) if self.counters.now().failed > 0 => Ok(Exit::Failed),
            Ok(None) => Ok(Exit::Done),
            Err(Fatal::Stdout(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exit::BrokenPipe)
            }
            Err(fatal) => Err(fatal),
        }
    }

    /// Without a whole path of the command line a manifest would take the place of a better one.
    fn keep_old(&self) -> Result<(), Fatal> {
        let Some(path) = &self.path else { return self.output.finish() };
        self.output.abandon();
        self.console.message(format_args!("{}: not written", line(path)));
        Ok(())
    }

    fn reason(&self, reason: Reason<ItemFailure>) -> Result<Exit, Fatal> {
        Err(match reason {
            Reason::Item(item) => match item.into_kind() {
                ItemErrorKind::Failed(ItemFailure::Output(error)) => match &self.path {
                    Some(path) => Fatal::Write(path.clone(), error),
                    None => Fatal::Stdout(error),
                },
                ItemErrorKind::Failed(ItemFailure::Manifest(path, error)) => {
                    Fatal::Manifest(path, error)
                }
                other => Fatal::Internal(format!("{other:?}")),
            },
            Reason::Panicked { stage, message } => {
                Fatal::Internal(format!("stage {stage}: {message}"))
            }
            _ => return Ok(Exit::Interrupted),
        })
    }
}

/// The stage that reads and hashes.
pub(crate) fn hash_stage(threads: NonZeroUsize, ordered: bool) -> Stage {
    let stage = Stage::new("hash").concurrency(threads.get());
    if ordered { stage.ordered().window(WINDOW) } else { stage.unordered() }
}

/// The handle of the numbers for `--stats`, if asked for.
pub(crate) fn stats_if(common: &Common, stats: StatsHandle) -> Option<StatsHandle> {
    common.stats.then_some(stats)
}
