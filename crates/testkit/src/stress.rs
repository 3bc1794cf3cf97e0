//! Many short races on real threads, with seeded disturbance.

mod disturb;
mod gate;
mod outcome;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use self::disturb::{Disturbed, disturb, point_at, point_here};
pub use self::outcome::{StressFailure, StressReport};

use self::disturb::{InRound, Seen};
use self::gate::Gate;
use crate::clock;
use crate::payload;
use crate::rng::{Rng, mix};
use crate::seed::{Seed, scale};

/// The environment variable that sets the time of one stress run, in milliseconds.
const TIME_VARIABLE: &str = "TIDEGATE_STRESS_MS";

/// A seeded stress run: rounds of a short race on fresh state, for a fixed time.
///
/// Every round starts all threads at once on a state of its own and checks the state when all
/// have ended. Each thread calls [`Ctx::point`] between its accesses to shared memory; some of
/// these calls yield, spin or sleep, as the seed says, which finds races that plain repetition
/// misses by two orders of magnitude. Locks and atomics that call [`point_here`] before each
/// operation spare the bodies these calls.
///
/// The decisions are reproducible from the seed; the schedule of the operating system is not.
/// A failure therefore reports how often the same round fails again.
///
/// - the seed comes from `TIDEGATE_SEED`, else from the name and the time; it is always printed
/// - the time comes from `TIDEGATE_STRESS_MS`, else it is 200 ms for all thread counts together
/// - without [`threads`](Self::threads), the run is divided among 2, 4 and 8 threads
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tidegate_testkit::Stress;
///
/// Stress::new("fetch_add counts every call").run(
///     |_rng| AtomicU64::new(0),
///     |counter, ctx| {
///         ctx.point();
///         counter.fetch_add(1, Ordering::Relaxed);
///     },
///     |counter, threads| {
///         let n = counter.load(Ordering::Relaxed);
///         if n == threads as u64 { Ok(()) } else { Err(format!("{n} of {threads}")) }
///     },
/// );
/// ```
#[derive(Clone, Debug)]
#[must_use = "a stress run does nothing until `run` is called"]
pub struct Stress {
    name: String,
    threads: Vec<usize>,
    seed: Option<Seed>,
    time: Option<Duration>,
    min_rounds: u64,
    patience: Duration,
    hang: Duration,
    reruns: u32,
}

impl Stress {
    /// A run with the defaults; `name` appears in the output.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            threads: vec![2, 4, 8],
            seed: None,
            time: None,
            min_rounds: scale(200),
            patience: Duration::from_secs(60),
            hang: Duration::from_secs(30),
            reruns: 1_000,
        }
    }

    /// Races this many threads (at least 1) instead of 2, 4 and 8 in turn.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = vec![threads.max(1)];
        self
    }

    /// Uses this seed, unless `TIDEGATE_SEED` is set.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Runs for this long in all, whatever `TIDEGATE_STRESS_MS` says.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// The fewest rounds per thread count that prove anything (200 by default).
    ///
    /// A run goes on past its time to reach them, as far as its [`patience`](Self::patience) goes.
    pub fn min_rounds(mut self, rounds: u64) -> Self {
        self.min_rounds = rounds;
        self
    }

    /// How long one thread count may take to reach its rounds before the run is inconclusive
    /// (60 s by default, since each yield waits for whatever else the machine runs, and never less
    /// than its share of the time).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long a round may take until it has hung (30 s by default; rounds are meant to take a
    /// millisecond). A third of that is enough if no thread passes a point meanwhile.
    pub fn hang_after(mut self, time: Duration) -> Self {
        self.hang = time;
        self
    }

    /// How often a failed round is run again to learn how reproducible it is (1000 by default,
    /// for 1 s at most).
    pub fn reruns(mut self, reruns: u32) -> Self {
        self.reruns = reruns;
        self
    }

    /// Runs the rounds; see [`try_run`](Self::try_run).
    ///
    /// # Panics
    /// With the [`StressFailure`] as message: a round failed, or there were too few rounds.
    #[track_caller]
    pub fn run<S, Make, Body, Check>(self, make: Make, body: Body, check: Check) -> StressReport
    where
        S: Send + Sync,
        Make: FnMut(&mut Rng) -> S,
        Body: Fn(&S, &mut Ctx) + Sync,
        Check: FnMut(&S, usize) -> Result<(), String>,
    {
        match self.try_run(make, body, check) {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs the rounds: `make` a fresh state from the seed, `body` on every thread at once,
    /// `check` of the state when all threads have ended (with the number of threads).
    ///
    /// A panic in any of the three fails the round as an `Err` of `check` does.
    /// A round that does not [end](Self::hang_after) has hung: the process is aborted after the
    /// seed, the round and the last point of each thread were printed, since the threads of a
    /// deadlock cannot be joined.
    ///
    /// # Errors
    /// [`StressFailure`] of the first round that failed, or that the run was inconclusive.
    ///
    /// # Panics
    /// If `TIDEGATE_SEED` or `TIDEGATE_STRESS_MS` is set to something else than a number.
    pub fn try_run<S, Make, Body, Check>(
        self,
        mut make: Make,
        body: Body,
        mut check: Check,
    ) -> Result<StressReport, StressFailure>
    where
        S: Send + Sync,
        Make: FnMut(&mut Rng) -> S,
        Body: Fn(&S, &mut Ctx) + Sync,
        Check: FnMut(&S, usize) -> Result<(), String>,
    {
        let seed =
            Seed::from_env().or(self.seed).unwrap_or_else(|| Seed::from_env_or_new(&self.name));
        let time = self.time.unwrap_or_else(time_from_env);
        let share = time / u32::try_from(self.threads.len()).unwrap_or(1);
        let mut rounds = 0;
        for &threads in &self.threads {
            let runner = Runner { plan: &self, seed, threads, share };
            rounds += runner.race(&mut make, &body, &mut check)?;
        }
        let report = StressReport { name: self.name, seed, rounds, threads: self.threads };
        announce(&report.to_string());
        Ok(report)
    }
}

/// What a thread of a round knows: which one it is, and its own random stream.
#[derive(Debug)]
pub struct Ctx {
    index: usize,
    threads: usize,
    rng: Rng,
}

impl Ctx {
    fn new(round: &Rng, index: usize, threads: usize) -> Self {
        Self { index, threads, rng: round.stream(1 + index as u64) }
    }

    /// The number of this thread, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many threads race.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The random stream of this thread in this round.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// A place where another thread may step in: yields once in 8 calls, spins for a moment
    /// once in 8, sleeps once in 1024 (50 us), and does nothing otherwise.
    #[track_caller]
    pub fn point(&mut self) {
        point_at(Location::caller());
    }
}

/// One thread count of a run.
struct Runner<'a> {
    plan: &'a Stress,
    seed: Seed,
    threads: usize,
    share: Duration,
}

/// What the threads of a round share.
struct Round<S> {
    state: S,
    rng: Rng,
}

impl Runner<'_> {
    fn race<S, Make, Body, Check>(
        &self,
        make: &mut Make,
        body: &Body,
        check: &mut Check,
    ) -> Result<u64, StressFailure>
    where
        S: Send + Sync,
        Make: FnMut(&mut Rng) -> S,
        Body: Fn(&S, &mut Ctx) + Sync,
        Check: FnMut(&S, usize) -> Result<(), String>,
    {
        let gate = Gate::new(self.threads);
        let seen: Vec<Arc<Seen>> = (0..self.threads).map(|_| Arc::default()).collect();
        let current: Mutex<Option<Arc<Round<S>>>> = Mutex::new(None);
        let panicked: Mutex<Vec<(usize, String)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            // Ends the workers also when `make` or `check` unwinds out of this closure.
            let _stop = gate.stop_on_drop();
            for (index, seen) in seen.iter().enumerate() {
                let (gate, current, panicked) = (&gate, &current, &panicked);
                scope.spawn(move || {
                    while gate.await_start() {
                        let round = lock(current).clone();
                        if let Some(round) = round {
                            let mut ctx = Ctx::new(&round.rng, index, self.threads);
                            let _in_round = InRound::begin(ctx.rng.stream(0), seen);
                            let run = || body(&round.state, &mut ctx);
                            if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
                                lock(panicked).push((index, payload::text(payload.as_ref())));
                            }
                        }
                        gate.finish();
                    }
                });
            }
            // One seed for many tests is to be another for each.
            let named =
                self.plan.name.bytes().fold(self.seed.value(), |seed, b| mix(seed, b.into()));
            let mut one = |number: u64| -> Result<(), String> {
                let rng = Rng::new(mix(mix(named, self.threads as u64), number));
                let play = || {
                    let round = Arc::new(Round { state: make(&mut rng.stream(0)), rng });
                    *lock(&current) = Some(Arc::clone(&round));
                    gate.open();
                    if !self.await_end(&gate, &seen) {
                        self.abort_hung(number, &seen);
                    }
                    *lock(&current) = None;
                    let panics = std::mem::take(&mut *lock(&panicked));
                    if panics.is_empty() {
                        check(&round.state, self.threads)
                    } else {
                        Err(told(panics))
                    }
                };
                catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|payload| {
                    Err(format!("panic: {}", payload::text(payload.as_ref())))
                })
            };
            self.rounds(&mut one)
        })
    }

    /// Plays rounds until the time is up and enough were played.
    fn rounds(&self, one: &mut dyn FnMut(u64) -> Result<(), String>) -> Result<u64, StressFailure> {
        let start: Instant = clock::now();
        let limit = self.share.max(self.plan.patience);
        let mut number = 0;
        loop {
            if let Err(message) = one(number) {
                return Err(self.failed(number, message, one));
            }
            number += 1;
            let passed = clock::now() - start;
            if passed >= self.share && number >= self.plan.min_rounds {
                return Ok(number);
            }
            if passed >= limit {
                return Err(StressFailure::Inconclusive {
                    name: self.plan.name.clone(),
                    seed: self.seed,
                    threads: self.threads,
                    rounds: number,
                    min_rounds: self.plan.min_rounds,
                });
            }
        }
    }

    fn failed(
        &self,
        round: u64,
        message: String,
        one: &mut dyn FnMut(u64) -> Result<(), String>,
    ) -> StressFailure {
        // Said before the reruns: one that hangs or aborts must not take the message with it.
        if self.plan.reruns > 0 {
            announce(&format!(
                "stress: {} seed={} round={round} threads={} FAILED: {message}",
                self.plan.name, self.seed, self.threads
            ));
        }
        let end: Instant = clock::now() + Duration::from_secs(1);
        let (mut reruns, mut again) = (0, 0);
        while reruns < self.plan.reruns && clock::now() < end {
            reruns += 1;
            again += u32::from(one(round).is_err());
        }
        StressFailure::Failed {
            name: self.plan.name.clone(),
            seed: self.seed,
            threads: self.threads,
            round,
            message,
            reruns,
            again,
        }
    }

    /// False if the round has hung.
    fn await_end(&self, gate: &Gate, seen: &[Arc<Seen>]) -> bool {
        let mut times = 0;
        let mut idle = 0;
        for _ in 0..6 {
            if gate.await_end(self.plan.hang / 6) {
                return true;
            }
            let before = std::mem::replace(&mut times, seen.iter().map(|seen| seen.times()).sum());
            idle = if before == times { idle + 1 } else { 0 };
            if idle == 2 {
                return false;
            }
        }
        false
    }

    fn abort_hung(&self, round: u64, seen: &[Arc<Seen>]) -> ! {
        let (name, seed, threads) = (&self.plan.name, self.seed, self.threads);
        let mut text =
            format!("stress: {name} seed={seed} round={round} threads={threads} HUNG; aborting");
        for (index, seen) in seen.iter().enumerate() {
            let _ = write!(text, "\n  thread {index} {seen}");
        }
        announce(&text);
        std::process::abort()
    }
}

/// The panics of a round, in the order of the threads: the first in time is often not the one
/// that explains the others.
fn told(mut panics: Vec<(usize, String)>) -> String {
    panics.sort_unstable();
    let told = panics.iter().map(|(index, text)| format!("thread {index} panicked: {text}"));
    told.collect::<Vec<_>>().join("; ")
}

fn time_from_env() -> Duration {
    let ms = match std::env::var(TIME_VARIABLE) {
        Ok(text) => match text.parse() {
            Ok(ms) => ms,
            Err(error) => panic!("{TIME_VARIABLE}: {text:?}: {error}"),
        },
        Err(_) => 200,
    };
    Duration::from_millis(ms)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::print_stderr, reason = "the seed must be visible in the output of a test run")]
fn announce(line: &str) {
    eprintln!("{line}");
}
