//! What the attributes of the other tools make of a function.

#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
pub(crate) use self::on_tokio::{plain, tokio_paused, tokio_test};

/// The tests of a scenario of tasks that is one for all tools.
#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
macro_rules! everywhere {
    ($scenario:path) => {{
        use $crate::{peers, specimen::Tool};
        &[
            (Tool::Ours, |variant| tidegate_testkit::bubble($scenario(variant))),
            (Tool::TokioTest, |variant| peers::tokio_test($scenario(variant))),
            (Tool::TokioPaused, |variant| peers::tokio_paused($scenario(variant))),
        ]
    }};
}
#[cfg(tidegate_shuttle)]
macro_rules! everywhere {
    ($scenario:path) => {{
        use $crate::{peers, specimen::Tool};
        &[(Tool::Shuttle, |variant| {
            peers::scheduled(move || shuttle::future::block_on($scenario(variant)));
        })]
    }};
}
#[cfg(not(tidegate_loom))]
pub(crate) use everywhere;

#[cfg(not(any(tidegate_loom, tidegate_shuttle)))]
mod on_tokio {
    use std::future::Future;
    use tokio::runtime::Builder;

    /// `#[tokio::test]`.
    pub(crate) fn tokio_test(test: impl Future<Output = ()>) {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    /// `#[tokio::test(start_paused = true)]`.
    pub(crate) fn tokio_paused(test: impl Future<Output = ()>) {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap().block_on(test);
    }

    /// `#[test]`, again and again: what is done about threads where there is no tool.
    pub(crate) fn plain(test: impl Fn()) {
        for _ in 0..1000 {
            test();
        }
    }
}

/// Every order with at most three preemptions, which is what its documentation calls enough for
/// most bugs.
#[cfg(tidegate_loom)]
pub(crate) fn modelled(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// Under random schedules.
#[cfg(tidegate_shuttle)]
pub(crate) fn scheduled(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, 10_000);
}

/// And under as many with few preemptions at random steps, which takes a second thread.
#[cfg(tidegate_shuttle)]
pub(crate) fn scheduled_threads(test: impl Fn() + Send + Sync + Clone + 'static) {
    scheduled(test.clone());
    shuttle::check_pct(test, 10_000, 3);
}
