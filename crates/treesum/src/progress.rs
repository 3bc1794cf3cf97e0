//! How far a run is: counters that the stages raise, and the line on the terminal.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidegate_core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::busy::Busy;

/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(100);

/// What a run has done so far. The numbers only inform people; nothing is decided by them while
/// the run goes on.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Files that were found, or lines of a manifest that were read.
    found: AtomicU64,
    /// Files that were hashed, and whose result has reached the output.
    hashed: AtomicU64,
    /// Files and directories that could not be read.
    failed: AtomicU64,
    /// Bytes that were read and hashed.
    bytes: AtomicU64,
    /// Files that were given up because the run was told to stop.
    stopped: AtomicU64,
    /// Whether a path of the command line could not be scanned at all.
    lost: AtomicBool,
    /// Whether everything there is has been found.
    complete: AtomicBool,
    busy: Busy,
}

impl Counters {
    pub(crate) fn found_one(&self) {
        self.found.fetch_add(1, Relaxed);
    }

    /// A file that was found is none of those to be summed.
    pub(crate) fn left_out(&self) {
        self.found.fetch_sub(1, Relaxed);
    }

    pub(crate) fn found_all(&self) {
        self.complete.store(true, Relaxed);
    }

    /// A file was read to its end.
    pub(crate) fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// So many results have reached the output: what an interruption sweeps away before that is
    /// not done.
    pub(crate) fn hashed(&self, files: usize) {
        self.hashed.fetch_add(files as u64, Relaxed);
    }

    pub(crate) fn failed_one(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn stopped_one(&self) {
        self.stopped.fetch_add(1, Relaxed);
    }

    pub(crate) fn lost_a_path(&self) {
        self.lost.store(true, Relaxed);
    }

    /// Whether a path of the command line is missing from the output as a whole.
    pub(crate) fn has_lost_a_path(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// What the hashing threads are at.
    pub(crate) fn busy(&self) -> &Busy {
        &self.busy
    }

    /// Whether files were given up: the output is then not whole, even if the stages ended by
    /// themselves before the cancellation reached them.
    pub(crate) fn any_stopped(&self) -> bool {
        self.stopped.load(Relaxed) > 0
    }

    pub(crate) fn now(&self) -> Count {
        Count {
            found: self.found.load(Relaxed),
            hashed: self.hashed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            complete: self.complete.load(Relaxed),
        }
    }
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) found: u64,
    pub(crate) hashed: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

impl Count {
    /// What to say after an interruption, on one line.
    pub(crate) fn interrupted(self) -> String {
        // A failed directory was never counted as found, so the difference is a lower bound.
        let left = self.found.saturating_sub(self.hashed + self.failed);
        let more = if self.complete { "" } else { ", and whatever had not been found yet" };
        format!(
            "interrupted: {} files found, {} hashed, {} failed; not done: {left}{more}",
            self.found, self.hashed, self.failed
        )
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.complete { "of" } else { "of at least" };
        let (hashed, found) = (HumanCount(self.hashed), HumanCount(self.found));
        write!(f, "{hashed} {of} {found} files, {}", HumanBytes(self.bytes))?;
        if self.failed > 0 {
            write!(f, ", {} failed", HumanCount(self.failed))?;
        }
        Ok(())
    }
}

/// The progress line on stderr; a hidden one costs nothing.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(shown: bool) -> Self {
        Self { bar: shown.then(bar) }
    }

    /// Draws the counters until the future is dropped.
    pub(crate) async fn draw(&self, counters: &Counters) {
        let Some(bar) = &self.bar else { return };
        loop {
            let count = counters.now();
            let seconds = bar.elapsed().as_secs_f64().max(0.001);
            bar.update(|state| {
                state.set_len(count.found.max(1));
                state.set_pos(count.hashed + count.failed);
            });
            bar.set_message(format!("{count}, {}", rate(count.bytes, seconds)));
            tokio::time::sleep(TICK).await;
        }
    }

    /// Writes to the terminal while the line is out of the way.
    pub(crate) fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    let template = "{elapsed_precise} [{bar:24}] {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Bytes per second as people read it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate with three digits; a float to integer cast saturates"
)]
pub(crate) fn rate(bytes: u64, seconds: f64) -> String {
    format!("{}/s", HumanBytes((bytes as f64 / seconds) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_says_what_is_left() {
        let counters = Counters::default();
        for _ in 0..5 {
            counters.found_one();
        }
        counters.hashed(1);
        counters.failed_one();
        let text = counters.now().interrupted();
        assert_eq!(
            text,
            "interrupted: 5 files found, 1 hashed, 1 failed; not done: 3, \
             and whatever had not been found yet"
        );
        counters.found_all();
        assert!(counters.now().interrupted().ends_with("not done: 3"));
    }

    #[test]
    fn more_failures_than_files_found_leave_nothing_to_do() {
        let counters = Counters::default();
        counters.failed_one();
        assert!(counters.now().interrupted().contains("not done: 0"));
    }

    #[test]
    fn a_count_names_its_unit() {
        let counters = Counters::default();
        counters.found_one();
        counters.found_all();
        counters.read(2048);
        counters.hashed(1);
        assert_eq!(counters.now().to_string(), "1 of 1 files, 2.00 KiB");
        assert_eq!(rate(1 << 20, 0.5), "2.00 MiB/s");
    }
}
