//! How processes and their trees come to an end.

use crate::process::{Anyhow, Tag, millis, run, sh, state, until};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use tidegate_core::{
    CauseKind, Cx, Scope,
    process::{Ended, Proc, ProcOutput, Process, RunError, Sink, StopSignal, Tree, WaitError},
    scope,
};

/// Longer than anything here takes; a test that needs it has failed.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

/// Lines that say "ready" come first.
async fn start(cx: &Cx<Anyhow>, proc: &Proc, ready: usize) -> Result<Process, Anyhow> {
    let mut process = proc.clone().stderr(Sink::Piped).spawn(cx)?;
    let mut lines = process.stderr().unwrap().lines(100);
    for _ in 0..ready {
        let line = lines.next().await?.ok_or("it ended before it was ready")?;
        assert_eq!(line.text(), "ready");
    }
    cx.spawn("rest", async move {
        while lines.next().await?.is_some() {}
        Ok(())
    });
    Ok(process)
}

/// Cancels the scope of the process when it is ready, and tells what comes of that.
async fn cancelled(proc: Proc, ready: usize) -> ProcOutput {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = start(&cx, &proc, ready).await?;
        cx.cancel("enough");
        match process.wait().await {
            Err(WaitError::Cancelled { cause, output, .. }) => {
                assert!(cause.to_string().contains("enough"));
                Ok(*output)
            }
            other => panic!("{other:?}"),
        }
    });
    job.await.unwrap()
}

/// Ends with its own code when it hears `signal`, and the `sleep` it waits for ends with it.
fn polite(signal: &str) -> Proc {
    sh(&format!("trap 'echo bye; exit 7' {signal}; sleep 1000 & echo ready >&2; wait; wait"))
}

/// Neither it nor what it starts hears anything but SIGKILL.
fn deaf() -> Proc {
    sh("trap '' TERM INT HUP; sleep 1000 & echo ready >&2; while :; do sleep 1000; done")
}

#[tokio::test]
async fn a_polite_program_ends_in_its_own_way() {
    let tag = Tag::new();
    let output = cancelled(tag.on(polite("TERM").grace(PATIENT)), 1).await;
    assert_eq!((output.code(), output.ended()), (Some(7), Ended::Stopped));
    assert_eq!(output.stdout(), b"bye\n");
    assert_eq!(tag.alive(), []);
}

#[tokio::test]
async fn the_stop_signal_can_be_chosen() {
    let interrupt = polite("INT").stop_signal(StopSignal::Interrupt);
    assert_eq!(cancelled(interrupt, 1).await.code(), Some(7));
}

#[tokio::test]
async fn a_deaf_program_is_killed_after_the_grace() {
    let tag = Tag::new();
    let began = now();
    let output = cancelled(tag.on(deaf().grace(millis(100))), 1).await;
    assert!(began.elapsed() >= millis(100));
    assert_eq!((output.signal(), output.ended()), (Some(9), Ended::Killed));
    assert_eq!(tag.alive(), []);
}

#[expect(clippy::disallowed_methods, reason = "the time that a process has is real")]
fn now() -> Instant {
    Instant::now()
}

/// What does not go as it should is an event.
#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_kill_after_the_grace_and_a_leftover_are_events() {
    let events = crate::events::Events::listen();
    // Alone: what a shell starts may take a moment longer than the shell.
    cancelled(Proc::new("sleep").arg("1000"), 0).await;
    assert_eq!(events.count(&["pid="]), 0);
    cancelled(deaf().grace(millis(10)), 1).await;
    assert_eq!(events.count(&["did not end within its grace period", "program=\"sh\""]), 1);
    timed_out(Proc::new("sleep").arg("1000"), millis(10)).await;
    let late = ["did not end within its time", "process=\"slow\"", "program=\"sleep\""];
    assert_eq!(events.count(&late), 1);
    let daemon = sh("setsid sleep 1000 >&- 2>&- & exit 0").tree(Tree::Descendants);
    run(daemon).await.unwrap();
    assert_eq!(events.count(&["left processes behind", "program=\"sh\""]), 1);
}

/// A scope that is full starts a process all the same: one that waited for its turn would have
/// nobody to hear it.
#[tokio::test]
async fn a_process_does_not_count_towards_the_limit() {
    let job = Scope::builder("test").limit(1).run(async |cx: Cx<Anyhow>| {
        let own = cx.clone();
        cx.spawn("child", async move { Ok(Proc::new("true").run(&own).await?) }).await?;
        Ok(())
    });
    tokio::time::timeout(PATIENT, job).await.unwrap().unwrap();
}

/// SIGTERM does not reach a process that is suspended.
#[tokio::test]
async fn a_suspended_program_is_woken_to_hear_the_signal() {
    let script = "trap 'exit 7' TERM; echo ready >&2; kill -STOP $$; while :; do sleep 1000; done";
    let proc = sh(script).grace(PATIENT);
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = start(&cx, &proc, 1).await?;
        until("it is suspended", || state(process.id()).is_some_and(|(s, _)| s == 'T')).await;
        process.stop();
        let output = process.wait().await?;
        assert_eq!((output.code(), output.ended()), (Some(7), Ended::Stopped));
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn tokio_4312_an_order_reaches_the_whole_group() {
    for kill in [false, true] {
        let tag = Tag::new();
        let proc = tag.on(sh("sleep 1000 & sleep 1000 | cat & echo ready >&2; wait"));
        let job = scope("test", async |cx: Cx<Anyhow>| {
            let mut process = start(&cx, &proc, 1).await?;
            until("all have begun", || tag.alive().len() == 4).await;
            if kill {
                process.kill();
            } else {
                process.stop();
            }
            let output = process.wait().await?;
            assert_eq!(output.signal(), Some(if kill { 9 } else { 15 }));
            assert_eq!(output.ended(), if kill { Ended::Killed } else { Ended::Stopped });
            assert_eq!(tag.alive(), [], "when the result is there");
            Ok(())
        });
        job.await.unwrap();
    }
}

/// An order to kill shortens the grace of an earlier one to stop.
#[tokio::test]
async fn a_kill_does_not_wait_for_the_grace() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = start(&cx, &deaf().grace(PATIENT), 1).await?;
        process.stop();
        crate::losses::poll_once(&mut Box::pin(process.wait())).await;
        process.kill();
        assert_eq!(process.wait().await?.ended(), Ended::Killed);
        Ok(())
    });
    job.await.unwrap();
}

/// Nobody asked for it to end: what it left has the delay, and its status is its own.
#[tokio::test]
async fn golang_23019_a_grandchild_that_holds_the_pipes_is_cut_off() {
    let tag = Tag::new();
    let proc = tag.on(sh("echo out; sleep 1000 & exit 3").wait_delay(millis(50)));
    let output = run(proc).await.unwrap();
    assert_eq!((output.code(), output.ended()), (Some(3), Ended::Itself));
    assert_eq!((output.stdout(), output.pipes_held()), (&b"out\n"[..], true));
    assert_eq!(tag.alive(), []);
}

#[tokio::test]
async fn golang_18874_a_grandchild_that_closes_the_pipes_in_time_is_waited_for() {
    let script = "(trap '' HUP; read line; echo \"late $line\") <&3 & exit 3";
    let proc = sh(&format!("exec 3<&0; {script}")).stdin("input\n");
    let output = run(proc.wait_delay(PATIENT)).await.unwrap();
    assert_eq!((output.code(), output.stdout()), (Some(3), &b"late input\n"[..]));
    assert!(!output.pipes_held());
}

/// One that has left the group is not found by its group, and must not hold anybody up.
#[tokio::test]
async fn golang_50436_a_stranger_that_holds_the_pipes_holds_nobody_up() {
    let tag = Tag::new();
    let proc = tag.on(sh("setsid sleep 1000 & exit 3").wait_delay(millis(50)));
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = proc.clone().stdout(Sink::Piped).spawn(&cx)?;
        let mut lines = process.stdout().unwrap().lines(100);
        // The end of a stream that never ends.
        assert_eq!(lines.next().await?, None);
        let output = process.wait().await?;
        assert_eq!((output.code(), output.pipes_held()), (Some(3), true));
        Ok(())
    });
    job.await.unwrap();
    let [escaped] = tag.alive()[..] else { panic!("{:?}", tag.alive()) };
    kill_process(Pid::from_raw(escaped).unwrap(), Signal::KILL).unwrap();
    tag.is_gone().await;
}

/// What it has written is in the pipe when it has ended, and nobody else can write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_delay_nothing_is_lost_of_what_the_process_itself_wrote() {
    for _ in 0..50 {
        let output = run(sh("seq 1000").wait_delay(Duration::ZERO)).await.unwrap();
        assert_eq!(output.stdout().len(), 3893);
        assert!(!output.pipes_held());
    }
}

/// What a slow reader has not read yet is in the pipe, and not lost.
#[tokio::test]
async fn lines_that_are_read_late_are_all_there() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let proc = sh("seq 1000").stdout(Sink::Piped).wait_delay(Duration::ZERO);
        let mut process = proc.spawn(&cx)?;
        let mut lines = process.stdout().unwrap().lines(100);
        assert!(process.wait().await?.success());
        let mut read = 0;
        while lines.next().await?.is_some() {
            read += 1;
        }
        assert_eq!(read, 1000);
        Ok(())
    });
    job.await.unwrap();
}

/// A session of its own, two forks away from its parent, which is gone, and deaf.
const ESCAPED: &str = "(setsid sh -c 'trap \"\" TERM; echo ready >&2; sleep 1000; sleep 1000' &)";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn grafel_6303_setsid_and_a_double_fork_do_not_save_a_descendant() {
    let tag = Tag::new();
    let script = format!("trap '' TERM; {ESCAPED}; echo ready >&2; sleep 1000; sleep 1000");
    let proc = tag.on(sh(&script).tree(Tree::Descendants).grace(millis(50)));
    let output = cancelled(proc, 2).await;
    assert_eq!(output.ended(), Ended::Killed);
    assert_eq!(tag.alive(), [], "when the result is there");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_that_is_left_behind_is_killed_and_named() {
    let tag = Tag::new();
    let script = "setsid sleep 1000 <&- >&- 2>&- & sleep 0.1; exit 3";
    let output = run(tag.on(sh(script).tree(Tree::Descendants))).await.unwrap();
    assert_eq!((output.code(), output.ended()), (Some(3), Ended::Itself));
    assert!(!output.pipes_held());
    let names: Vec<_> = output.leftovers().iter().map(|left| left.name().to_owned()).collect();
    assert_eq!(names, ["sleep"]);
    assert!(output.leftovers()[0].pid() > 1);
    assert_eq!(tag.alive(), []);
}

/// The stop signal reaches those that have left, too.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_descendant_that_has_left_may_end_in_its_own_way() {
    let leaves = "setsid sh -c 'trap \"echo bye; exit\" TERM; echo ready >&2; sleep 1000 & wait'";
    let script = format!("trap 'wait; exit 7' TERM; {leaves} & wait");
    let proc = sh(&script).tree(Tree::Descendants).grace(PATIENT);
    let output = cancelled(proc, 1).await;
    assert_eq!((output.code(), output.stdout()), (Some(7), &b"bye\n"[..]));
}

/// Without the variable, by its parent.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_descendant_without_its_environment_is_found_by_its_parent() {
    let tag = Tag::new();
    let leaves = "setsid env -i TIDEGATE_TEST_TAG=$TIDEGATE_TEST_TAG /bin/sh -c \
                  'trap \"\" TERM; echo ready >&2; sleep 1000; sleep 1000'";
    let proc = tag.on(sh(&format!("{leaves} & wait")).tree(Tree::Descendants));
    assert_eq!(cancelled(proc.grace(PATIENT), 1).await.ended(), Ended::Stopped);
    assert_eq!(tag.alive(), []);
}

/// Each look finds others. They have an end, should this test be ended from outside.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn descendants_that_start_others_meanwhile_are_killed() {
    let tag = Tag::new();
    let storm = "setsid sh -c 'echo ready >&2; i=0; while [ $i -lt 2000 ]; do \
                 i=$((i+1)); setsid sleep 60 & sleep 0.005; done'";
    let proc = tag.on(sh(&format!("({storm} &); sleep 1000")).tree(Tree::Descendants));
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = start(&cx, &proc, 1).await?;
        until("there are some", || tag.alive().len() > 6).await;
        process.kill();
        let output = process.wait().await?;
        assert_eq!(output.ended(), Ended::Killed);
        assert_eq!(tag.alive(), []);
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn a_process_alone_leaves_what_it_started() {
    let tag = Tag::new();
    let proc = tag.on(sh("sleep 1000 >&- 2>&- & exit 3").tree(Tree::Child));
    assert_eq!(run(proc).await.unwrap().code(), Some(3));
    let [left] = tag.alive()[..] else { panic!("{:?}", tag.alive()) };
    let left = Pid::from_raw(left).unwrap();
    let group = |pid| rustix::process::getpgid(pid).unwrap();
    assert_eq!(group(Some(left)), group(None), "the group is that of this program");
    kill_process(left, Signal::KILL).unwrap();
    tag.is_gone().await;
    let proc = Proc::new("sleep").arg("1000").tree(Tree::Child);
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = proc.spawn(&cx)?;
        process.stop();
        Ok(process.wait().await?.signal())
    });
    assert_eq!(job.await.unwrap(), Some(15));
}

/// A group of number 0 would be that of this program, which would end with the process.
#[tokio::test]
async fn openab_270_this_program_survives_what_it_kills() {
    for tree in [Tree::Child, Tree::Group, Tree::Descendants] {
        let job = scope("test", async |cx: Cx<Anyhow>| {
            let mut process = Proc::new("sleep").arg("1000").tree(tree).spawn(&cx)?;
            process.kill();
            process.kill();
            let output = process.wait().await?;
            process.kill();
            process.stop();
            Ok(output.signal())
        });
        assert_eq!(job.await.unwrap(), Some(9), "{tree:?}");
    }
}

/// A scope that has less time than its process aborts it.
#[tokio::test]
async fn a_scope_whose_grace_is_over_kills_the_tree_at_once() {
    let tag = Tag::new();
    let proc = tag.on(deaf().grace(PATIENT));
    let job = Scope::builder("test").grace(millis(50)).run(async |cx: Cx<Anyhow>| {
        let mut process = start(&cx, &proc, 1).await?;
        cx.cancel("enough");
        Ok(process.wait().await?)
    });
    let error = job.await.unwrap_err();
    let names: Vec<_> =
        error.report().aborted().iter().map(|left| left.task().path().to_owned()).collect();
    assert!(names.contains(&"/test/sh".to_owned()), "{names:?}");
    assert_eq!(tag.alive(), []);
}

/// What is left of a process whose time was over.
async fn timed_out(proc: Proc, timeout: Duration) -> ProcOutput {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let line = line!() + 1;
        match proc.name("slow").timeout(timeout).run(&cx).await {
            Err(RunError::Wait(WaitError::TimedOut { program, timeout: had, cause, output })) => {
                assert_eq!((program.name(), had), ("slow", timeout));
                assert_eq!(cause.kind(), CauseKind::DeadlineExceeded);
                assert_eq!((cause.origin(), cause.location().line()), (Some("/test/slow"), line));
                assert!(!cx.is_cancelled(), "it is the time of the process alone");
                Ok(*output)
            }
            other => panic!("{other:?}"),
        }
    });
    job.await.unwrap()
}

#[tokio::test]
async fn a_process_whose_time_is_over_is_asked_to_end_and_then_killed() {
    let tag = Tag::new();
    let script = "trap 'exit 0' TERM; echo begun; sleep 1000 & wait";
    let output = timed_out(tag.on(sh(script).grace(PATIENT)), millis(300)).await;
    // It looks whole, and is not.
    assert_eq!((output.success(), output.ended()), (true, Ended::Stopped));
    assert_eq!((output.stdout(), tag.alive()), (&b"begun\n"[..], vec![]));
    let began = now();
    let output = timed_out(tag.on(deaf().grace(millis(200))), millis(300)).await;
    assert!(began.elapsed() >= millis(500));
    assert_eq!((output.signal(), output.ended()), (Some(9), Ended::Killed));
    assert_eq!(tag.alive(), []);
}

#[tokio::test]
async fn a_process_that_ends_or_is_ended_in_its_time_is_not_late() {
    let output = run(sh("exit 3").timeout(PATIENT)).await.unwrap();
    assert_eq!((output.code(), output.ended()), (Some(3), Ended::Itself));
    let stopped = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = start(&cx, &deaf().timeout(PATIENT).grace(millis(10)), 1).await?;
        process.stop();
        Ok(process.wait().await?.ended())
    });
    assert_eq!(stopped.await.unwrap(), Ended::Killed);
    cancelled(deaf().timeout(PATIENT).grace(millis(10)), 1).await;
}

/// Its time is over when somebody looks at last, and it had ended by then.
#[tokio::test]
async fn a_process_that_ended_in_its_time_is_not_late_if_nobody_looked() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let begun = tokio::time::Instant::now();
        let mut process = Proc::new("sleep").arg("0.1").timeout(millis(300)).spawn(&cx)?;
        // Its driver waits for the end and for the time.
        until("it waits", || cx.tree().work().iter().any(|work| !work.waits().is_empty())).await;
        // This blocks the only thread, so that both have come when the driver is polled next.
        while state(process.id()).is_some_and(|(state, _)| state != 'Z')
            || begun.elapsed() < millis(400)
        {
            std::thread::yield_now();
        }
        Ok(process.wait().await?.success())
    });
    assert!(job.await.unwrap());
}

#[tokio::test]
async fn a_deadline_of_the_scope_stops_the_process() {
    let job = Scope::builder("test")
        .timeout(millis(50))
        .run(async |cx: Cx<RunError>| Ok(Proc::new("sleep").arg("1000").run(&cx).await?));
    let error = job.await.unwrap_err();
    assert!(error.to_string().contains("ran out of time"), "{error}");
}
