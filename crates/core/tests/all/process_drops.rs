//! Whatever is dropped and whenever: nothing of a process is left.

use crate::{
    process::{Anyhow, Tag, isolated, millis, sh, until},
    process_tree::PATIENT,
};
use std::{fs, future::poll_fn, panic::AssertUnwindSafe, pin::pin, task::Poll, time::Duration};
use tidegate_core::{
    CancelToken, Cx, Scope,
    process::{Input, Proc, RunError, Sink, Tree},
    scope,
};
use tidegate_testkit::{Rng, Seed, scale};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::sleep,
};

/// Runs a test in a process of its own.
macro_rules! alone {
    ($name:ident, $body:block) => {
        #[test]
        fn $name() {
            isolated(concat!(module_path!(), "::", stringify!($name)), || $body);
        }
    };
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The children of this process, zombies among them.
fn children() -> Vec<u32> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| crate::process::state(*pid).is_some_and(|(_, parent)| parent == own);
    pids.filter(is_child).collect()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A deaf shell with two that it waits for, and one that has left, where that is found.
fn tree(tag: &Tag, tree: Tree) -> Proc {
    let leaves = if tree == Tree::Descendants { "(setsid sleep 1000 &);" } else { "" };
    let waits = "sleep 1000 & echo ready; while :; do sleep 1000; done";
    let proc = sh(&format!("trap '' TERM; {leaves} {waits}"));
    tag.on(proc.stdin("input").tree(tree).grace(PATIENT))
}

/// Polls `future` so many times, and drops it. Ready, if it ended before.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                // Let others go on between the polls.
                if left == 0 { Poll::Ready(None) } else { Poll::Pending }
            }
        }
    })
    .await
}

/// The same with a waker that is always awake: between two polls everything else gets its turn.
async fn polled_often<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

alone!(a_run_that_is_dropped_at_any_poll_leaves_nothing, {
    one_thread().block_on(async {
        let tag = Tag::new();
        // What a first one needs of the runtime.
        scope("first", async |cx: Cx<RunError>| Ok(Proc::new("true").run(&cx).await?))
            .await
            .unwrap();
        let before = descriptors();
        for kind in [Tree::Child, Tree::Group, Tree::Descendants] {
            for times in 0..8 {
                // By itself, so that the child of a `Child` is reaped as well.
                let proc = if kind == Tree::Child {
                    tag.on(Proc::new("sleep").arg("1000").stdin("input").tree(kind))
                } else {
                    tree(&tag, kind)
                };
                let job = scope("test", async |cx: Cx<Anyhow>| {
                    assert!(polled_often(proc.run(&cx), times).await.is_none());
                    Ok(())
                });
                job.await.unwrap();
                assert_eq!(children(), [], "{kind:?} after {times} polls");
                assert_eq!(tag.alive(), [], "{kind:?} after {times} polls");
                assert_eq!(descriptors(), before, "{kind:?} after {times} polls");
            }
        }
    });
});

alone!(a_run_that_ends_can_be_dropped_at_any_poll, {
    one_thread().block_on(async {
        let tag = Tag::new();
        let proc = tag.on(sh("head -c 100000 /dev/zero; cat >&2").stdin(vec![0; 100_000]));
        scope("first", async |cx: Cx<RunError>| Ok(Proc::new("true").run(&cx).await?))
            .await
            .unwrap();
        let before = descriptors();
        let mut times = 0;
        let mut ended = false;
        while !ended {
            let job = scope("test", async |cx: Cx<Anyhow>| {
                Ok(polled(proc.run(&cx), times).await.is_some())
            });
            ended = job.await.unwrap();
            assert_eq!(children(), [], "after {times} polls");
            assert_eq!(tag.alive(), [], "after {times} polls");
            assert_eq!(descriptors(), before, "after {times} polls");
            times += 1;
        }
        assert!(times > 2, "{times}");
    });
});

alone!(a_scope_that_is_dropped_at_any_poll_leaves_nothing, {
    for runtime in [one_thread(), two_threads()] {
        runtime.block_on(async {
            let tag = Tag::new();
            scope("first", async |cx: Cx<RunError>| Ok(Proc::new("true").run(&cx).await?))
                .await
                .unwrap();
            let before = descriptors();
            for times in 0..16 {
                let kind = [Tree::Group, Tree::Descendants][times % 2];
                let times = times / 2;
                let job = scope("outer", async |cx: Cx<Anyhow>| {
                    let inner = cx.scope("inner", async |cx: Cx<Anyhow>| {
                        Ok(tree(&tag, kind).run(&cx).await?)
                    });
                    assert!(polled_often(inner, times).await.is_none());
                    Ok(())
                });
                job.await.unwrap();
                assert_eq!(children(), [], "after {times} polls");
                assert_eq!(tag.alive(), [], "after {times} polls");
                assert_eq!(descriptors(), before, "after {times} polls");
            }
        });
    }
});

alone!(a_handle_that_is_dropped_kills_and_one_that_is_forgotten_does_not_hide, {
    one_thread().block_on(async {
        let tag = Tag::new();
        let job = scope("test", async |cx: Cx<Anyhow>| {
            drop(tree(&tag, Tree::Group).spawn(&cx)?);
            until("it is reaped", || children().is_empty()).await;
            assert_eq!(tag.alive(), []);
            std::mem::forget(tree(&tag, Tree::Group).grace(millis(20)).spawn(&cx)?);
            assert_eq!(children().len(), 1);
            cx.cancel("the end");
            Ok(())
        });
        job.await.unwrap();
        assert_eq!((children(), tag.alive()), (vec![], vec![]));
    });
});

alone!(a_panic_of_the_owner_leaves_nothing, {
    let tag = Tag::new();
    let proc = tree(&tag, Tree::Group);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        one_thread().block_on(async {
            let _ = scope("test", async |cx: Cx<Anyhow>| {
                let mut process = proc.stdout(Sink::Piped).spawn(&cx)?;
                let mut lines = process.stdout().unwrap().lines(100);
                assert_eq!(lines.next().await?.unwrap().text(), "ready");
                panic!("on purpose");
                #[expect(unreachable_code, reason = "it gives the body its type")]
                Ok(())
            })
            .await;
        });
    }));
    assert_eq!(tidegate_core::panic::message(&*panicked.unwrap_err()), "on purpose");
    assert_eq!((children(), tag.alive()), (vec![], vec![]));
});

// Nothing is run after that which could reap it.
alone!(tokio_2685_no_zombie_is_left_when_the_runtime_is_dropped, {
    // What the first runtime of a process opens for all of them.
    drop(one_thread());
    for make in [one_thread, two_threads] {
        for kind in [Tree::Group, Tree::Descendants] {
            let tag = Tag::new();
            let before = descriptors();
            let runtime = make();
            let mut job = Box::pin(scope("test", async |cx: Cx<Anyhow>| {
                let mut process = tree(&tag, kind).stdout(Sink::Piped).spawn(&cx)?;
                let mut lines = process.stdout().unwrap().lines(100);
                assert_eq!(lines.next().await?.unwrap().text(), "ready");
                process.wait().await?;
                Ok(())
            }));
            runtime.block_on(async {
                until("it is ready", || {
                    let waker = std::task::Waker::noop();
                    let polled = job.as_mut().poll(&mut std::task::Context::from_waker(waker));
                    assert!(polled.is_pending());
                    tag.alive().len() == if kind == Tree::Descendants { 4 } else { 3 }
                })
                .await;
            });
            drop(runtime);
            assert_eq!(children(), [], "{kind:?}");
            drop(job);
            assert_eq!(tag.alive(), [], "{kind:?}");
            assert_eq!(descriptors(), before, "{kind:?}");
        }
    }
});

alone!(two_hundred_processes_leave_neither_zombies_nor_descriptors, {
    two_threads().block_on(async {
        let first = async |cx: Cx<RunError>| Ok(Proc::new("true").run(&cx).await?);
        scope("first", first).await.unwrap();
        let before = descriptors();
        let job = scope("in a row", async |cx: Cx<RunError>| {
            for n in 0..200 {
                let output = sh("read n; exit $n").stdin(format!("{n}\n")).run(&cx).await?;
                assert_eq!(output.code(), Some(n));
                assert_eq!(children(), []);
            }
            Ok(())
        });
        job.await.unwrap();
        assert_eq!(descriptors(), before);
        let job = scope("at once", async |cx: Cx<RunError>| {
            let mut processes = Vec::new();
            for n in 0..200 {
                // Two descriptors each: not every system gives a program more than 1024.
                let proc = sh("read n; exit $n").stdin(format!("{n}\n"));
                let proc = proc.stdout(Sink::Null).stderr(Sink::Null);
                processes.push(proc.spawn(&cx)?);
            }
            for (n, process) in (0..).zip(&mut processes) {
                assert_eq!(process.wait().await?.code(), Some(n));
            }
            assert_eq!(children(), []);
            Ok(())
        });
        job.await.unwrap();
        assert_eq!(descriptors(), before);
        let job = scope("stopped", async |cx: Cx<RunError>| {
            let sleep = Proc::new("sleep").arg("1000").stdout(Sink::Null).stderr(Sink::Null);
            for _ in 0..200 {
                std::mem::forget(sleep.spawn(&cx)?);
            }
            assert_eq!(children().len(), 200);
            cx.cancel("enough");
            Ok(())
        });
        job.await.unwrap();
        assert_eq!(children(), []);
    });
});

alone!(a_program_that_does_not_start_leaves_nothing, {
    one_thread().block_on(async {
        let job = scope("test", async |cx: Cx<Anyhow>| {
            let proc = Proc::new("/no/such/program").stdin(Input::Piped);
            proc.spawn(&cx).unwrap_err();
            let before = descriptors();
            for _ in 0..20 {
                proc.spawn(&cx).unwrap_err();
            }
            assert_eq!((children(), descriptors()), (vec![], before));
            Ok(())
        });
        job.await.unwrap();
    });
});

// The process has begun when it turns out that nobody can hear of its end.
alone!(a_runtime_without_io_starts_nothing, {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let job =
        scope("test", async |cx: Cx<Anyhow>| Ok(Proc::new("sleep").arg("1000").spawn(&cx).is_ok()));
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(job)));
    let text = tidegate_core::panic::message(&*panicked.unwrap_err());
    assert!(text.contains("IO is disabled"), "{text}");
    assert_eq!(children(), []);
});

// Its number, and that of its group, may be a stranger's from then on.
alone!(nothing_is_signalled_once_others_have_reaped_the_child, {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    one_thread()
        .block_on(async {
            let tag = Tag::new();
            let job = scope("test", async |cx: Cx<Anyhow>| {
                let proc = tag.on(sh("sleep 1000 >&- 2>&- & exit 0"));
                let mut process = proc.spawn(&cx)?;
                let pid = Pid::from_raw(i32::try_from(process.id())?).unwrap();
                // As a careless init does, in a loop over all children. The runtime has no turn.
                waitpid(Some(pid), WaitOptions::empty())?;
                process.kill();
                Ok(process.wait().await.unwrap_err())
            });
            let error = job.await.unwrap();
            assert!(error.to_string().starts_with("lost \"sh\": cannot wait for it: "), "{error}");
            let [left] = tag.alive()[..] else { panic!("{:?}", tag.alive()) };
            kill_process(Pid::from_raw(left).unwrap(), Signal::KILL)?;
            tag.is_gone().await;
            Ok::<_, Anyhow>(())
        })
        .unwrap();
});

// In a scope that has ended its driver is dropped before it was polled.
alone!(a_scope_that_ends_while_it_starts_leaves_nothing, {
    one_thread().block_on(async {
        let token = CancelToken::new();
        let late = Scope::builder("test").grace(Duration::ZERO).token(&token);
        let _ = late
            .run(async |cx: Cx<Anyhow>| {
                let proc = Proc::new("sleep").arg("1000");
                let mut process = proc.spawn(&cx)?;
                token.cancel("now");
                process.wait().await?;
                Ok(())
            })
            .await;
        assert_eq!(children(), []);
    });
});

fn pick<T: Copy, const N: usize>(rng: &mut Rng, from: [T; N]) -> T {
    from[usize::try_from(rng.below(N as u64)).unwrap()]
}

/// How one process of the storm comes to its end.
async fn end_somehow(cx: &Cx<Anyhow>, tag: &Tag, rng: &mut Rng) -> Result<(), Anyhow> {
    let kind = pick(rng, [Tree::Group, Tree::Group, Tree::Descendants]);
    let scripts = [
        "exit 3",
        "sleep 1000 & exit 3",
        "(setsid sleep 1000 &); trap 'exit 3' TERM; sleep 1000 & wait",
        "trap '' TERM; sleep 1000 & sleep 1000",
        "yes & cat",
    ];
    // Without descendants, one that leaves would be left.
    let script = match pick(rng, scripts) {
        leaves if leaves.contains("setsid") && kind == Tree::Group => scripts[1],
        script => script,
    };
    let proc = tag.on(sh(script).tree(kind).stdin(vec![0; 100_000]));
    let proc = proc.grace(millis(rng.below(20))).wait_delay(millis(rng.below(20)));
    let proc = proc.max_output(1 << 16);
    let pause = millis(rng.below(8));
    match rng.below(6) {
        0 => drop(tokio::time::timeout(pause, proc.run(cx)).await),
        1 => drop(proc.spawn(cx)?),
        2 => {
            let mut process = proc.spawn(cx)?;
            sleep(pause).await;
            process.stop();
            let _ = process.wait().await;
        }
        3 => {
            let mut process = proc.stdout(Sink::Piped).spawn(cx)?;
            let _lines = process.stdout();
            sleep(pause).await;
            process.kill();
            let _ = process.wait().await;
        }
        4 => {
            let inner = cx.scope("dropped", async |cx: Cx<Anyhow>| Ok(proc.run(&cx).await?));
            drop(tokio::time::timeout(pause, inner).await);
        }
        _ => {
            let inner = Scope::builder("late").parent(cx).timeout(pause).grace(pause);
            drop(inner.run(async |cx: Cx<Anyhow>| Ok(proc.run(&cx).await?)).await);
        }
    }
    Ok(())
}

alone!(stress_storm_of_processes, {
    let rounds = scale(15);
    let seed = Seed::from_env_or_new("storm_of_processes");
    println!("stress: storm_of_processes seed={seed}");
    let mut rng = seed.rng();
    for runtime in [one_thread(), two_threads()] {
        runtime.block_on(async {
            let tag = Tag::new();
            let before = descriptors();
            for round in 0..rounds {
                let job = scope("storm", async |cx: Cx<Anyhow>| {
                    for _ in 0..3 {
                        end_somehow(&cx, &tag, &mut rng).await?;
                    }
                    Ok(())
                });
                job.await.unwrap();
                assert_eq!(children(), [], "round {round}, seed {seed}");
                assert_eq!(tag.alive(), [], "round {round}, seed {seed}");
                assert_eq!(descriptors(), before, "round {round}, seed {seed}");
            }
        });
    }
    println!("stress: storm_of_processes seed={seed} rounds={}", 2 * rounds);
});
