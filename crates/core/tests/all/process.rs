//! Programs that run, what they are given and what comes back.

#![allow(clippy::print_stdout, reason = "a storm tells what it did")]

use std::{
    env, fs,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tidegate_core::{
    Cx,
    inspect::{Snapshot, WorkState},
    process::{
        Ended, Input, Overflow, Proc, ProcOutput, RunError, Sink, SpawnError, Stream, WaitError,
    },
    scope,
};
use tokio::{io::AsyncWriteExt as _, time::sleep};

pub(crate) type Anyhow = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs `script` by the shell.
pub(crate) fn sh(script: &str) -> Proc {
    Proc::new("sh").args(["-c", script])
}

/// Runs it in a scope of its own.
pub(crate) async fn run(proc: Proc) -> Result<ProcOutput, RunError> {
    scope("test", async |cx: Cx<Anyhow>| Ok(proc.run(&cx).await)).await.unwrap()
}

/// Waits for something that no event tells, in real time.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(millis(1)).await;
    }
}

/// A mark in the environment that finds the processes of one test among those of all others.
#[derive(Clone)]
pub(crate) struct Tag(String);

impl Tag {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}-{next}", std::process::id()))
    }

    pub(crate) fn on(&self, proc: Proc) -> Proc {
        proc.env("TIDEGATE_TEST_TAG", &self.0)
    }

    /// The processes that have it and are not dead.
    pub(crate) fn alive(&self) -> Vec<i32> {
        let entry = format!("TIDEGATE_TEST_TAG={}", self.0);
        let pids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let has_it = |pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|&byte| byte == 0).any(|other| other == entry.as_bytes())
        };
        pids.filter(has_it).collect()
    }

    pub(crate) async fn is_gone(&self) {
        until("no process of the tree lives", || self.alive().is_empty()).await;
    }
}

/// The state of a process, such as `T`, and its parent.
pub(crate) fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Runs `body` in a process of its own, in which nobody else opens descriptors or has children.
/// `test` is the path of the calling test.
pub(crate) fn isolated(test: &str, body: impl FnOnce()) {
    const KEY: &str = "TIDEGATE_ISOLATED_TEST";
    let test = test.split_once("::").unwrap().1;
    if env::var(KEY).is_ok_and(|name| name == test) {
        return body();
    }
    let mut again = Command::new(env::current_exe().unwrap());
    again.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(KEY, test);
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {told}");
    // What a storm tells of itself.
    text.lines().filter(|line| line.starts_with("stress: ")).for_each(|line| println!("{line}"));
}

#[tokio::test]
async fn status_and_outputs_come_back() {
    let output = run(sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((output.code(), output.signal(), output.success()), (Some(3), None, false));
    assert_eq!((output.stdout(), output.stderr()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((output.ended(), output.pipes_held()), (Ended::Itself, false));
    assert!(output.leftovers().is_empty());
    let failed = output.check().unwrap_err();
    assert_eq!(failed.to_string(), "\"sh\" failed with exit status: 3: err");
    assert_eq!(failed.into_output().code(), Some(3));
    let killed = run(sh("kill -9 $$")).await.unwrap();
    assert_eq!((killed.code(), killed.signal(), killed.ended()), (None, Some(9), Ended::Itself));
}

#[tokio::test]
async fn a_proc_can_be_run_again() {
    let proc = Proc::new("cat").stdin("again");
    for _ in 0..2 {
        assert_eq!(run(proc.clone()).await.unwrap().stdout(), b"again");
    }
    scope("test", async |cx: Cx<Anyhow>| {
        let (one, two) = (proc.run(&cx), proc.run(&cx));
        assert_eq!(two.await?.stdout(), one.await?.stdout());
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn arguments_variables_and_the_directory_are_its_own() {
    let directory = env::temp_dir().canonicalize().unwrap();
    let script = "printf '%s|' \"$0\" \"$1\" \"$SET\" \"${HOME-none}\" \"$(pwd)\"";
    let proc = sh(script).args(["a b", "$c"]).env("SET", "x=y").env_remove("HOME");
    let output = run(proc.current_dir(&directory)).await.unwrap();
    assert_eq!(output.stdout_text(), format!("a b|$c|x=y|none|{}|", directory.display()));
    let bare = Proc::new("/usr/bin/env").env("GONE", "1").env_clear().env("KEPT", "2");
    assert_eq!(run(bare).await.unwrap().stdout_text(), "KEPT=2\n");
}

/// Both pipes are full, in both directions.
#[tokio::test]
async fn an_input_and_an_output_larger_than_a_pipe_do_not_block_each_other() {
    let input: Vec<u8> = (0_u8..251).cycle().take(3_000_000).collect();
    let output = run(Proc::new("tee").arg("/dev/stderr").stdin(&input[..])).await.unwrap();
    assert!(output.stdout() == input && output.stderr() == input);
}

#[tokio::test]
async fn an_input_need_not_be_read_and_is_at_its_end_by_default() {
    let output = run(Proc::new("true").stdin(vec![0; 1_000_000])).await.unwrap();
    assert!(output.success());
    assert_eq!(run(Proc::new("cat")).await.unwrap().stdout(), b"");
}

#[tokio::test]
async fn a_caller_can_write_the_input_and_read_the_output() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let echo = Proc::new("cat").stdin(Input::Piped).stdout(Sink::Piped);
        let mut cat = echo.spawn(&cx)?;
        let (mut input, mut lines) = (cat.stdin().unwrap(), cat.stdout().unwrap().lines(100));
        assert!(cat.stdin().is_none() && cat.stdout().is_none() && cat.stderr().is_none());
        for n in 0..3 {
            input.write_all(format!("line {n}\n").as_bytes()).await?;
            assert_eq!(lines.next().await?.unwrap().text(), format!("line {n}"));
        }
        input.write_all(b"the end").await?;
        input.shutdown().await?;
        assert!(input.write_all(b"no more").await.is_err());
        assert_eq!(lines.next().await?.unwrap().text(), "the end");
        assert_eq!(lines.next().await?, None);
        assert_eq!(lines.next().await?, None);
        assert!(cat.wait().await?.success());
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept() {
    let script = "printf 'a\\377b\\n\\200'";
    let output = run(sh(script)).await.unwrap();
    assert_eq!(
        (output.stdout(), &*output.stdout_text()),
        (&b"a\xffb\n\x80"[..], "a\u{fffd}b\n\u{fffd}")
    );
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = sh(script).stdout(Sink::Piped).spawn(&cx)?;
        let mut lines = process.stdout().unwrap().lines(100);
        assert_eq!(lines.next().await?.unwrap().into_bytes(), b"a\xffb");
        assert_eq!(lines.next().await?.unwrap().text(), "\u{fffd}");
        assert_eq!(lines.next().await?, None);
        Ok(())
    });
    job.await.unwrap();
}

/// The program waits to be told before it goes on in the middle of a line.
#[tokio::test]
async fn a_wait_for_a_line_that_is_dropped_loses_nothing() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let script = "printf one; read go; printf ' two\\nthree'; read go; echo ' four'";
        let program = sh(script).stdin(Input::Piped).stdout(Sink::Piped);
        let mut process = program.spawn(&cx)?;
        let mut input = process.stdin().unwrap();
        let mut lines = process.stdout().unwrap().lines(100);
        // Dropped often, at first before anything is there, and then with half a line read.
        for expected in ["one two", "three four"] {
            for _ in 0..50 {
                crate::losses::poll_once(&mut Box::pin(lines.next())).await;
                sleep(millis(1)).await;
            }
            input.write_all(b"go\n").await?;
            assert_eq!(lines.next().await?.unwrap().text(), expected);
        }
        assert_eq!(lines.next().await?, None);
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn a_line_that_is_too_long_comes_in_pieces() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let long = sh("head -c 1000000 /dev/zero; echo; echo short >&2");
        let mut process = long.stdout(Sink::Piped).stderr(Sink::Piped).spawn(&cx)?;
        let mut lines = process.stdout().unwrap().lines(300_000);
        let mut sizes = Vec::new();
        while let Some(line) = lines.next().await? {
            sizes.push((line.as_bytes().len(), line.continues()));
        }
        assert_eq!(sizes, [(300_000, true), (300_000, true), (300_000, true), (100_000, false)]);
        assert_eq!(process.stderr().unwrap().lines(100).next().await?.unwrap().text(), "short");
        Ok(())
    });
    job.await.unwrap();
}

/// How many bytes a process has written in its life.
fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
    line.parse().unwrap()
}

/// It never gets further ahead than a pipe, a line and what is read or written at a time.
#[tokio::test]
async fn a_slow_reader_slows_the_process_down() {
    const AHEAD: u64 = (64 << 10) + (8 << 10) + (64 << 10);
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut process = Proc::new("yes").arg("0123456789").stdout(Sink::Piped).spawn(&cx)?;
        let pid = process.id();
        until("the pipe is almost full", || written(pid) >= 48 << 10).await;
        let mut lines = process.stdout().unwrap().lines(100);
        for n in 1..=50_000_u64 {
            assert_eq!(lines.next().await?.unwrap().text(), "0123456789");
            if n % 5000 == 0 {
                let (read, written) = (n * 11, written(pid));
                assert!(written <= read + AHEAD, "{written} written, {read} read");
            }
        }
        // As `yes | head` does.
        drop(lines);
        let output = process.wait().await?;
        assert_eq!((output.signal(), output.ended()), (Some(13), Ended::Itself));
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn an_output_that_nobody_takes_is_thrown_away() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let proc = Proc::new("head").args(["-c", "1000000", "/dev/zero"]).stdout(Sink::Piped);
        assert!(proc.run(&cx).await?.success());
        Ok(())
    });
    job.await.unwrap();
}

#[test]
fn a_hundred_megabytes_are_counted_and_not_kept() {
    isolated(concat!(module_path!(), "::a_hundred_megabytes_are_counted_and_not_kept"), || {
        let peak = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            line.trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // What the first one needs of the runtime is not the output's.
            run(Proc::new("true")).await.unwrap();
            let before = peak();
            let zeros = Proc::new("head").args(["-c", "100000000", "/dev/zero"]);
            let output = run(zeros.max_output(1 << 20).overflow(Overflow::Truncate)).await.unwrap();
            assert!(output.success());
            assert_eq!(output.dropped(Stream::Stdout), 100_000_000 - (1 << 20));
            assert_eq!(output.dropped(Stream::Stderr), 0);
            let used = peak() - before;
            assert!(used < 6 << 20, "{used} bytes for an output of 1 MiB");
            assert!(output.into_stdout() == vec![0; 1 << 20]);
        });
    });
}

#[tokio::test]
async fn a_process_that_writes_too_much_is_killed() {
    for (script, stream) in [("yes", Stream::Stdout), ("yes >&2", Stream::Stderr)] {
        let error = run(sh(script).max_output(1000)).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(text, format!("\"sh\" was killed: it wrote more than 1000 bytes to {stream}"));
        let RunError::Wait(error) = error else { panic!("{error}") };
        let output = error.output().unwrap();
        assert_eq!(output.stdout().len() + output.stderr().len(), 1000);
        assert!(output.dropped(stream) > 0);
        assert_eq!((output.signal(), output.ended()), (Some(9), Ended::Killed));
    }
    let exact = run(sh("printf 12345").max_output(5)).await.unwrap();
    assert_eq!(exact.stdout(), b"12345");
    assert_eq!(run(Proc::new("true").max_output(0)).await.unwrap().stdout(), b"");
}

async fn refused(proc: Proc) -> (SpawnError, String) {
    match run(proc).await {
        Err(RunError::Spawn(error)) => {
            let text = error.to_string();
            (error, text)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bad_words_are_refused_before_the_system_sees_them() {
    let (error, _) = refused(Proc::new("")).await;
    assert!(matches!(error, SpawnError::NoProgram));
    let (_, text) = refused(Proc::new("a\0b")).await;
    assert_eq!(text, "cannot run \"a\\0b\": a NUL byte in its name");
    let (_, text) = refused(Proc::new("true").args(["fine", "a\0b"])).await;
    assert_eq!(text, "cannot run \"true\": a NUL byte in argument 2");
    let (_, text) = refused(Proc::new("true").env("NAME", "\0")).await;
    assert_eq!(text, "cannot run \"true\": a NUL byte in the value of \"NAME\"");
    let (_, text) = refused(Proc::new("true").current_dir("\0")).await;
    assert_eq!(text, "cannot run \"true\": a NUL byte in its directory");
    for name in ["", "a=b", "a\0"] {
        let (error, _) = refused(Proc::new("true").env_remove(name)).await;
        assert!(matches!(error, SpawnError::VariableName { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_run_is_named_with_the_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = env::temp_dir().join(format!("tidegate-process-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, text: &str, mode| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let plain = file("plain", "echo", 0o644);
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);

    for missing in ["no-such-program", "/no/such/program", "./no-such-program"] {
        let (error, text) = refused(Proc::new(missing)).await;
        assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");
        assert_eq!(text, format!("cannot run \"{missing}\": no such program"));
    }
    for blocked in [plain.as_path(), dir.as_path()] {
        let (error, _) = refused(Proc::new(blocked)).await;
        assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");
    }
    let (error, text) = refused(Proc::new(&orphan)).await;
    assert!(matches!(error, SpawnError::NoInterpreter { .. }), "{text}");
    let (error, _) = refused(Proc::new("./orphan").current_dir(&dir)).await;
    assert!(matches!(error, SpawnError::NoInterpreter { .. }), "{error}");
    let (error, _) = refused(Proc::new("orphan").env("PATH", &dir)).await;
    assert!(matches!(error, SpawnError::NoInterpreter { .. }), "{error}");

    // The directory is to blame, whatever the program.
    for (directory, program) in [(dir.join("none"), "true"), (plain, "no-such-program")] {
        let (error, text) = refused(Proc::new(program).current_dir(&directory)).await;
        assert!(matches!(error, SpawnError::Directory { .. }), "{error}");
        assert!(
            text.starts_with(&format!("cannot run \"{program}\" in {directory:?}: ")),
            "{text}"
        );
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn nothing_is_started_in_a_scope_that_is_cancelled() {
    let tag = Tag::new();
    let job = scope("test", async |cx: Cx<Anyhow>| {
        cx.cancel("enough");
        let error = tag.on(Proc::new("sleep").arg("1000")).spawn(&cx).unwrap_err();
        assert!(matches!(&error, SpawnError::Cancelled { .. }), "{error}");
        assert!(error.to_string().starts_with("did not run \"sleep\": cancelled: enough"));
        Ok(())
    });
    job.await.unwrap();
    assert_eq!(tag.alive(), []);
}

#[tokio::test]
async fn a_result_is_taken_once_and_a_dropped_wait_loses_nothing() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut cat = Proc::new("cat").stdin(Input::Piped).spawn(&cx)?;
        let input = cat.stdin();
        crate::losses::poll_once(&mut Box::pin(cat.wait())).await;
        drop(input);
        assert!(cat.wait().await?.success());
        let again = cat.wait().await.unwrap_err();
        assert!(matches!(again, WaitError::Taken { .. }), "{again}");
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn a_snapshot_shows_the_process_and_who_waits_for_it() {
    let job = scope("job", async |cx: Cx<Anyhow>| {
        let mut cat = Proc::new("/bin/cat").stdin(Input::Piped).spawn(&cx)?;
        let (pid, input, line) = (cat.id(), cat.stdin(), line!() - 1);
        let waiter = cx.spawn("waiter", async move { Ok(cat.wait().await?.success()) });
        let waits = |tree: &Snapshot| {
            tree.work().iter().filter(|work| work.state() == WorkState::Waiting).count() == 2
        };
        until("both wait", || waits(&cx.tree())).await;
        let tree = cx.tree();
        let process = tree.work().iter().find(|work| work.name().as_str() == "cat").unwrap();
        assert_eq!(process.waits()[0].label(), "process to end");
        assert_eq!((process.location().file(), process.location().line()), (file!(), line));
        let resource = tree.resources().iter().find(|resource| resource.kind() == "process");
        let details = resource.unwrap().details();
        let (pid, program) = (pid.to_string(), "/bin/cat".to_owned());
        let expected = [("pid", pid), ("program", program), ("state", "running".to_owned())];
        assert_eq!(details, expected);
        assert_eq!(resource.unwrap().location().line(), line);
        assert!(tree.deadlocks().is_empty(), "{tree}");
        drop(input);
        assert!(waiter.await?);
        assert!(cx.tree().resources().is_empty(), "{}", cx.tree());
        Ok(())
    });
    job.await.unwrap();
}

#[tokio::test]
async fn a_process_goes_by_the_name_that_it_was_given() {
    let job = scope("job", async |cx: Cx<Anyhow>| {
        let mut cat = Proc::new("/bin/cat").name("kitty").stdin(Input::Piped).spawn(&cx)?;
        assert_eq!((cat.program().name(), cat.program().path()), ("kitty", "/bin/cat"));
        let tree = cx.tree();
        assert!(tree.work().iter().any(|work| work.name().as_str() == "kitty"), "{tree}");
        assert_eq!(tree.resources()[0].name().as_str(), "kitty");
        assert_eq!(tree.resources()[0].details()[1], ("program", "/bin/cat".to_owned()));
        let output = cat.wait().await?;
        assert_eq!(output.program(), cat.program());
        let taken = cat.wait().await.unwrap_err().to_string();
        assert_eq!(taken, "the result of kitty (\"/bin/cat\") was taken before");
        Ok(())
    });
    job.await.unwrap();
    let (_, text) = refused(Proc::new("/no/such/program").name("ghost")).await;
    assert_eq!(text, "cannot run ghost (\"/no/such/program\"): no such program");
}

/// A soft stop is for whoever knows how to end the program in an orderly way.
#[tokio::test]
async fn a_soft_stop_leaves_the_process_alone() {
    let job = scope("test", async |cx: Cx<Anyhow>| {
        let mut cat = Proc::new("cat").stdin(Input::Piped).spawn(&cx)?;
        let mut input = cat.stdin().unwrap();
        cx.stop("drain");
        cx.stopping().await;
        input.write_all(b"still there").await?;
        drop(input);
        let output = cat.wait().await?;
        assert_eq!((output.stdout(), output.ended()), (&b"still there"[..], Ended::Itself));
        Ok(())
    });
    job.await.unwrap();
}

#[test]
#[should_panic(expected = "there is no reactor running")]
fn outside_a_runtime_it_panics_and_starts_nothing() {
    let cx = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cx = cx.block_on(scope("test", async |cx: Cx<Anyhow>| Ok(cx))).unwrap();
    let _ = Proc::new("true").spawn(&cx);
}
