//! A race of threads, and the tests that the tools make of one.

use crate::specimen::{Test, Tool, Variant};

/// A short race on a state of its own, for 2 to 8 threads.
pub(crate) trait Race: Sized + 'static {
    /// What the threads share.
    type State: Send + Sync + 'static;

    /// What is raced for, as the test is called.
    const NAME: &'static str;

    /// How many threads the bug takes, for the tools to which each is dear.
    const THREADS: usize = 2;

    /// The state before the race.
    fn state() -> Self::State;

    /// What the thread `index` of `threads` does; it panics when it sees that something is wrong.
    fn part(state: &Self::State, index: usize, threads: usize, variant: Variant);

    /// Finds out what is wrong when all have ended.
    fn check(_: &Self::State, _threads: usize) -> Result<(), String> {
        Ok(())
    }

    /// The tests of this build: threads are others under loom and under shuttle.
    #[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
    const TESTS: &'static [(Tool, Test)] =
        &[(Tool::Ours, on_threads::ours::<Self>), (Tool::Plain, on_threads::plain::<Self>)];
    /// For benchmarks.
    #[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
    const HUNT: on_threads::Hunt = on_threads::Hunt::of::<Self>();
    #[cfg(tidegate_loom)]
    const TESTS: &'static [(Tool, Test)] = &[(Tool::Loom, in_models::loom::<Self>)];
    #[cfg(tidegate_shuttle)]
    const TESTS: &'static [(Tool, Test)] = &[(Tool::Shuttle, in_models::shuttle::<Self>)];
}

#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
pub(crate) mod on_threads {
    use super::{Race, Variant};
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        thread,
        time::{Duration, Instant},
    };
    use tidegate_testkit::{Seed, Stress};

    /// Two ways to look for one planted race with four threads; the race ends in any case.
    #[derive(Clone, Copy, Debug)]
    pub struct Hunt {
        /// What is raced for.
        pub name: &'static str,
        /// Whether a stress test with this seed finds it within the time.
        pub ours: fn(Seed, Duration) -> bool,
        /// Whether a loop that starts the threads finds it within the time.
        pub plain: fn(Duration) -> bool,
    }

    impl Hunt {
        pub(super) const fn of<R: Race>() -> Self {
            Self { name: R::NAME, ours: hunt::<R>, plain: hunt_plainly::<R> }
        }
    }

    const HUNTERS: usize = 4;

    fn hunt<R: Race>(seed: Seed, time: Duration) -> bool {
        let stress = Stress::new(R::NAME).threads(HUNTERS).seed(seed).time(time);
        let result = stress.min_rounds(1).reruns(0).try_run(
            |_| R::state(),
            |state, ctx| R::part(state, ctx.index(), ctx.threads(), Variant::Planted),
            R::check,
        );
        result.is_err()
    }

    fn hunt_plainly<R: Race>(time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let race = || once::<R>(HUNTERS, Variant::Planted);
            if !matches!(catch_unwind(AssertUnwindSafe(race)), Ok(Ok(()))) {
                return true;
            }
        }
        false
    }

    pub(crate) fn ours<R: Race>(variant: Variant) {
        Stress::new(R::NAME).run(
            |_| R::state(),
            |state, ctx| R::part(state, ctx.index(), ctx.threads(), variant),
            R::check,
        );
    }

    pub(crate) fn plain<R: Race>(variant: Variant) {
        crate::peers::plain(|| once::<R>(2 * R::THREADS, variant).unwrap());
    }

    /// One race, as started without any tool.
    pub(crate) fn once<R: Race>(threads: usize, variant: Variant) -> Result<(), String> {
        let state = R::state();
        thread::scope(|scope| {
            for index in 0..threads {
                let state = &state;
                scope.spawn(move || R::part(state, index, threads, variant));
            }
        });
        R::check(&state, threads)
    }
}

#[cfg(any(tidegate_loom, tidegate_shuttle))]
mod in_models {
    use super::{Race, Variant};
    use std::sync::Arc;

    #[cfg(tidegate_loom)]
    use loom::thread;
    #[cfg(tidegate_shuttle)]
    use shuttle::thread;

    #[cfg(tidegate_loom)]
    pub(super) fn loom<R: Race>(variant: Variant) {
        crate::peers::modelled(move || once::<R>(variant));
    }

    #[cfg(tidegate_shuttle)]
    pub(super) fn shuttle<R: Race>(variant: Variant) {
        crate::peers::scheduled_threads(move || once::<R>(variant));
    }

    /// One race, in which the model's first thread takes part.
    fn once<R: Race>(variant: Variant) {
        let state = Arc::new(R::state());
        let others: Vec<_> = (1..R::THREADS)
            .map(|index| {
                let state = Arc::clone(&state);
                thread::spawn(move || R::part(&state, index, R::THREADS, variant))
            })
            .collect();
        R::part(&state, 0, R::THREADS, variant);
        for other in others {
            other.join().unwrap();
        }
        R::check(&state, R::THREADS).unwrap();
    }
}
