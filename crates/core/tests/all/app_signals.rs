//! A program and its signals: a process of its own, because a signal reaches every test of this
//! one.

#![allow(clippy::print_stdout, reason = "the processes talk to their test")]

use std::{
    convert::Infallible,
    future::pending,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tidegate_core::{App, Cx};
use tokio::runtime::{Builder, Runtime};

type Never = Result<(), Infallible>;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The program that the tests below run as a process of its own, because a signal
/// reaches every test of this one. Without the variable it has nothing to do.
#[test]
fn child_process() {
    let Ok(mode) = std::env::var("TIDEGATE_APP_CHILD") else { return };
    match &*mode {
        "workers hang" => workers_hang(),
        "body hangs" => body_hangs(),
        "busy" => busy(),
        "nobody reads and it hangs" => nobody_reads_and_it_hangs(),
        "nobody reads" => nobody_reads(),
        "exits" => exits(),
        _ => ends(&mode),
    }
}

fn ends(mode: &str) {
    let runtime = Runtime::new().unwrap();
    let app = App::new("child").grace(secs(if mode == "polite" { 5 } else { 600 }));
    let app = if mode.starts_with("drain") { app.drain(secs(600)) } else { app };
    if mode == "drain by itself" {
        app.token().stop("by itself");
    }
    let report = runtime.block_on(app.run(async |cx: Cx<Infallible>| {
        println!("ready");
        println!("stop: {}", cx.stopping().await);
        if mode == "drains" {
            return Ok(());
        }
        println!("cancel: {}", cx.cancelled().await);
        if mode == "polite" { Ok(()) } else { pending().await }
    }));
    let stuck: Vec<_> = report.stuck().iter().map(|s| s.task().path()).collect();
    println!("gave up: {}; stuck: {stuck:?}", report.gave_up());
    runtime.shutdown_background();
    std::process::exit(report.exit_code().into());
}

/// Says so, and blocks its thread for ever.
fn hang(name: &str) -> Never {
    println!("{name} hangs");
    loop {
        std::thread::park();
    }
}

fn workers_hang() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _report = runtime.block_on(App::new("child").grace(secs(600)).run(async |cx| {
        for name in ["one", "two"] {
            cx.spawn(name, async move { hang(name) });
        }
        pending::<Result<(), _>>().await
    }));
    unreachable!("its workers hang");
}

fn body_hangs() {
    let app = App::new("child").budget(Duration::ZERO);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _report = runtime.block_on(app.run(async |_: Cx<Infallible>| hang("body")));
    unreachable!("it hangs");
}

/// A picture that nobody takes.
fn nobody_reads() {
    let app = App::new("child").grace(secs(5)).on_dump(|_| _ = hang("dump"));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(app.run(async |cx: Cx<Infallible>| {
        println!("ready");
        cx.cancelled().await;
        Ok(())
    }));
    std::process::exit(report.exit_code().into());
}

/// Does not hear signals for a while, and cleans up after that for longer than a hanging program
/// is given.
fn busy() {
    let app = App::new("child").grace(secs(20));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(app.run(async |cx: Cx<Infallible>| {
        println!("ready");
        let mut go_on = String::new();
        std::io::stdin().read_line(&mut go_on).unwrap();
        println!("cancel: {}", cx.cancelled().await);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Ok(())
    }));
    println!("gave up: {}", report.gave_up());
    std::process::exit(report.exit_code().into());
}

fn nobody_reads_and_it_hangs() {
    let app = App::new("child").budget(Duration::ZERO).on_dump(|_| _ = hang("dump"));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _report = runtime.block_on(app.run(async |_: Cx<Infallible>| hang("body")));
    unreachable!("it hangs");
}

/// Blocking work that hangs keeps its runtime alive, and not the process.
fn exits() {
    let runtime = Runtime::new().unwrap();
    let report = runtime.block_on(App::new("child").budget(Duration::ZERO).run(async |cx| {
        let (tell, is_started) = tokio::sync::oneshot::channel();
        cx.spawn_blocking("deaf", move || {
            tell.send(()).unwrap();
            hang("work")
        });
        is_started.await.unwrap();
        cx.cancelled().await;
        Ok(())
    }));
    report.exit();
}

/// A process that ends with its test, also when that fails.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn child(mode: &str) -> (Program, impl BufRead) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "app_signals::child_process", "--nocapture"])
        .env("TIDEGATE_APP_CHILD", mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (Program(child), out)
}

fn kill(Program(child): &Program, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

fn read_until(out: &mut impl BufRead, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        assert!(out.read_line(&mut all).unwrap() > 0, "ended before it said {text:?}: {all}");
    }
    all
}

#[test]
fn a_picture_is_written_though_all_workers_hang() {
    let (mut process, mut out) = child("workers hang");
    let mut err = BufReader::new(process.0.stderr.take().unwrap());
    read_until(&mut out, "hangs");
    read_until(&mut out, "hangs");
    for signal in ["USR1", "QUIT"] {
        kill(&process, signal);
        let picture = read_until(&mut err, "└─ two");
        let lines: Vec<_> = picture.lines().collect();
        assert!(lines[0].starts_with("/child: scope idle, 2 live, "), "{picture}");
        assert!(lines[1].starts_with("├─ one: task running for "), "{picture}");
        assert!(lines[2].starts_with("└─ two: task running for "), "{picture}");
    }
}

#[test]
fn a_program_that_hangs_is_ended_after_a_signal_and_says_what_hung() {
    let (mut process, mut out) = child("body hangs");
    let mut err = BufReader::new(process.0.stderr.take().unwrap());
    read_until(&mut out, "body hangs");
    kill(&process, "TERM");
    let words = read_until(&mut err, "hangs after signal 15");
    assert!(words.starts_with("/child: scope running for "), "{words}");
    assert_eq!(process.0.wait().unwrap().code(), Some(143));
}

#[test]
fn a_picture_that_nobody_reads_does_not_keep_a_program_alive() {
    let (mut process, mut out) = child("nobody reads");
    read_until(&mut out, "ready");
    kill(&process, "USR1");
    read_until(&mut out, "dump hangs");
    kill(&process, "INT");
    assert_eq!(process.0.wait().unwrap().code(), Some(130));
}

/// The program hears two as one, and has its grace period.
#[test]
fn two_signals_that_count_as_one_do_not_cost_the_grace_period() {
    let (mut process, mut out) = child("busy");
    read_until(&mut out, "ready");
    kill(&process, "INT");
    kill(&process, "INT");
    // A later signal of a higher number that was heard: these were, before the program goes on.
    kill(&process, "USR1");
    read_until(&mut BufReader::new(process.0.stderr.take().unwrap()), "/child: scope");
    process.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    read_until(&mut out, "cancel: signal SIGINT");
    read_until(&mut out, "gave up: false");
    assert_eq!(process.0.wait().unwrap().code(), Some(130));
}

#[test]
fn a_picture_that_nobody_reads_does_not_keep_a_hanging_program_alive() {
    let (mut process, mut out) = child("nobody reads and it hangs");
    read_until(&mut out, "body hangs");
    kill(&process, "QUIT");
    read_until(&mut out, "dump hangs");
    kill(&process, "TERM");
    assert_eq!(process.0.wait().unwrap().code(), Some(143));
}

#[test]
fn a_report_that_exits_does_not_wait_for_blocking_work() {
    let (mut process, mut out) = child("exits");
    let mut err = String::new();
    read_until(&mut out, "work hangs");
    kill(&process, "TERM");
    process.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let mut lines = err.lines();
    assert_eq!(lines.next(), Some("cancelled: signal SIGTERM"), "{err}");
    assert!(lines.next().unwrap().starts_with("still running: blocking /child/deaf"), "{err}");
    assert_eq!(process.0.wait().unwrap().code(), Some(143));
}

#[test]
fn sigint_and_sigterm_cancel_with_the_shells_exit_code() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (mut process, mut out) = child("polite");
        read_until(&mut out, "ready");
        kill(&process, signal);
        read_until(&mut out, &format!("cancel: signal SIG{signal}"));
        assert_eq!(process.0.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut process, mut out) = child("deaf");
    read_until(&mut out, "ready");
    kill(&process, "TERM");
    read_until(&mut out, "cancel: signal SIGTERM");
    kill(&process, "INT");
    read_until(&mut out, "gave up: true; stuck: [\"/child\"]");
    out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(143), "the first signal decides");
}

#[test]
fn a_program_that_drains_at_a_signal_has_done_what_it_was_asked() {
    let (mut process, mut out) = child("drains");
    read_until(&mut out, "ready");
    kill(&process, "TERM");
    read_until(&mut out, "stop: signal SIGTERM");
    out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_while_the_program_drains_by_itself_skips_to_the_next_stage() {
    let (mut process, mut out) = child("drain by itself");
    read_until(&mut out, "stop: by itself");
    kill(&process, "TERM");
    read_until(&mut out, "cancel: signal SIGTERM");
    kill(&process, "TERM");
    read_until(&mut out, "gave up: true");
    out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(143));
}

#[test]
fn each_further_signal_skips_a_stage() {
    let (mut process, mut out) = child("drain for ever");
    read_until(&mut out, "ready");
    kill(&process, "TERM");
    read_until(&mut out, "stop: signal SIGTERM");
    kill(&process, "INT");
    read_until(&mut out, "cancel: signal SIGINT");
    kill(&process, "INT");
    read_until(&mut out, "gave up: true; stuck: [\"/child\"]");
    out.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(143), "the first signal decides");
}
