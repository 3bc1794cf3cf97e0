//! Every test that could hang runs on all kinds of runtime, with a limit in real time.

use std::{future::Future, time::Duration};
use tidegate_core::Cx;
use tidegate_testkit::bubble;
use tokio::runtime::{Builder, Runtime};

pub(crate) type Error = String;

/// Runs `test` in a scope in a bubble, on a current-thread runtime, and on one and two workers. The
/// bubble knows at once when everybody waits for ever, and sees what is left behind.
pub(crate) fn on_every_runtime<F, Fut>(test: F)
where
    F: Fn(Cx<Error>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    on_paused_clock(&test);
    on("current thread", &Builder::new_current_thread().enable_all().build().unwrap(), &test);
    for workers in [1, 2] {
        let runtime =
            Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        on(&format!("{workers} workers"), &runtime, &test);
    }
}

pub(crate) fn on<F, Fut>(name: &str, runtime: &Runtime, test: F)
where
    F: Fn(Cx<Error>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let ended = runtime.block_on(async {
        let test = tidegate_core::scope("test", async |cx| {
            test(cx).await;
            Ok::<_, Error>(())
        });
        tokio::time::timeout(Duration::from_secs(60), test).await
    });
    if let Err(error) = ended.unwrap_or_else(|elapsed| panic!("on {name}: hangs, {elapsed}")) {
        panic!("on {name}: {error}");
    }
}

/// Runs `test` in a scope in a bubble.
pub(crate) fn on_paused_clock<F, Fut>(test: F)
where
    F: FnOnce(Cx<Error>) -> Fut,
    Fut: Future<Output = ()>,
{
    bubble(async {
        tidegate_core::scope("test", async |cx| {
            test(cx).await;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    });
}
