//! Wall time and CPU time of this process.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    /// User and system time of all threads of this process, and of the children it waited
    /// for, the latter in steps of 10 ms.
    pub(crate) cpu: Duration,
}

/// Measures `work`.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let watch = Stopwatch::start();
    let result = work();
    (result, watch.stop())
}

/// For work that is to be measured in part.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu(), wall: Instant::now() }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    pub(crate) fn stop(self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

fn cpu() -> Duration {
    let own = clock_gettime(ClockId::ProcessCPUTime);
    let own = Duration::new(own.tv_sec.unsigned_abs(), own.tv_nsec.try_into().unwrap_or(0));
    own + children()
}

/// Fields 16 and 17 of `/proc/self/stat`, counted after the name in parentheses.
fn children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
