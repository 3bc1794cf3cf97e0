//! The guard sees what is left, names it, and sees nothing where nothing is left.

use std::fs::File;
use std::sync::mpsc;
use std::time::Duration;

use tidegate_testkit::{LeakGuard, cancel_everywhere};

const GRACE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(20);

fn spawn_task(future: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "a task without owner is what is looked for")]
    tokio::spawn(future)
}

/// A thread of this name which ends when the sender is dropped.
fn parked_thread(name: &str) -> (mpsc::SyncSender<()>, std::thread::JoinHandle<()>) {
    let (sender, receiver) = mpsc::sync_channel::<()>(0);
    let (started, has_started) = mpsc::sync_channel(0);
    let body = move || {
        started.send(()).unwrap();
        receiver.recv().unwrap_err();
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
    has_started.recv().unwrap();
    (sender, thread)
}

#[tokio::test]
async fn a_task_left_behind_is_counted() {
    let guard = LeakGuard::current();
    let tasks = [spawn_task(std::future::pending()), spawn_task(std::future::pending())];
    let leak = guard.verify(SHORT).await.unwrap_err();
    assert_eq!(leak.tasks(), 2);
    assert_eq!(leak.to_string(), "left behind: 2 task(s)");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_end_within_the_grace_are_no_leak() {
    let guard = LeakGuard::current();
    for _ in 0..tidegate_testkit::scale(1_000) {
        drop(spawn_task(tokio::task::yield_now()));
    }
    drop(spawn_task(tokio::time::sleep(Duration::from_millis(30))));
    guard.verify(GRACE).await.unwrap();
}

#[tokio::test]
async fn tasks_from_before_are_no_leak() {
    let before = spawn_task(std::future::pending());
    LeakGuard::current().verify(Duration::ZERO).await.unwrap();
    before.abort();
}

#[test]
fn a_verification_that_is_dropped_has_changed_nothing() {
    let report = cancel_everywhere(
        || (),
        async |()| {
            let guard = LeakGuard::current();
            drop(spawn_task(tokio::time::sleep(Duration::from_millis(3))));
            guard.verify(GRACE).await.unwrap();
        },
        async |(), point| {
            // The task goes on to its end, and another guard sees as much as the first would have.
            tokio::time::sleep(SHORT).await;
            assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "{point}");
            let guard = LeakGuard::current();
            let other = spawn_task(std::future::pending());
            assert_eq!(guard.verify(SHORT).await.unwrap_err().tasks(), 1, "{point}");
            other.abort();
        },
    );
    report.assert_covered(2);
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_moves_through_the_grace() {
    let guard = LeakGuard::current();
    drop(spawn_task(tokio::time::sleep(Duration::from_millis(40))));
    guard.verify(Duration::from_millis(50)).await.unwrap();

    let guard = LeakGuard::current();
    let late = spawn_task(tokio::time::sleep(Duration::from_secs(3600)));
    assert_eq!(guard.verify(Duration::from_millis(50)).await.unwrap_err().tasks(), 1);
    late.abort();
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_waits_for_threads_in_real_time() {
    let guard = LeakGuard::current().threads_named("tk-late");
    let (sender, thread) = parked_thread("tk-late");
    let ender = std::thread::Builder::new().spawn(move || drop(sender)).unwrap();
    guard.verify(GRACE).await.unwrap();
    ender.join().unwrap();
    thread.join().unwrap();
}

#[test]
fn a_thread_left_behind_is_named() {
    let guard = LeakGuard::process().threads_named("tk-named-thread-of-long-name");
    let other = parked_thread("tk-other");
    let ours = parked_thread("tk-named-thread-of-long-name");
    let leak = guard.verify_blocking(SHORT).unwrap_err();
    assert_eq!(leak.threads().len(), 1, "{leak}");
    assert_eq!(leak.threads()[0].name, "tk-named-thread");
    assert_eq!(leak.to_string(), "left behind: 1 thread(s) \"tk-named-thread\"");
    for (sender, thread) in [other, ours] {
        drop(sender);
        thread.join().unwrap();
    }
}

#[test]
fn all_threads_are_watched_when_asked_for() {
    let guard = LeakGuard::process().threads();
    let (sender, thread) = parked_thread("tk-anonymous");
    let leak = guard.verify_blocking(SHORT).unwrap_err();
    assert!(leak.threads().iter().any(|thread| thread.name == "tk-anonymous"), "{leak}");
    drop(sender);
    thread.join().unwrap();
}

#[test]
fn a_file_left_open_is_named() {
    let dir = std::env::temp_dir().canonicalize().unwrap();
    let path = dir.join(format!("tidegate-testkit-{}", std::process::id()));
    let guard = LeakGuard::process().fds_under(&path);
    let all = LeakGuard::process().fds();
    let file = File::create(&path).unwrap();
    let leak = guard.verify_blocking(SHORT).unwrap_err();
    assert_eq!(leak.fds().len(), 1, "{leak}");
    assert_eq!(leak.fds()[0].target, path);
    assert!(leak.to_string().contains("1 file descriptor(s)"), "{leak}");
    let leak = all.verify_blocking(SHORT).unwrap_err();
    assert!(leak.fds().iter().any(|fd| fd.target == path), "{leak}");
    drop(file);
    let guard = LeakGuard::process().fds_under(&path);
    drop(File::open(&path).unwrap());
    guard.verify_blocking(Duration::ZERO).unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn looking_leaves_nothing_open_itself() {
    // Other tests of this process open files, so the whole table is checked in a child.
    const VARIABLE: &str = "TIDEGATE_TESTKIT_CHILD";
    if std::env::var_os(VARIABLE).is_some() {
        let guard = LeakGuard::process().fds().threads();
        guard.verify_blocking(Duration::ZERO).unwrap();
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "leak::looking_leaves_nothing_open_itself", "--test-threads=1"])
        .env(VARIABLE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn a_descriptor_of_a_removed_file_is_missed() {
    let path = std::env::temp_dir().join(format!("tidegate-removed-{}", std::process::id()));
    let path = path.parent().unwrap().canonicalize().unwrap().join(path.file_name().unwrap());
    let guard = LeakGuard::process().fds_under(&path);
    let file = File::create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let leak = guard.verify_blocking(Duration::ZERO).unwrap_err();
    assert_eq!(leak.fds().len(), 1, "{leak}");
    drop(file);
}

#[tokio::test(start_paused = true)]
async fn a_grace_without_end_overflows_the_clock() {
    drop(spawn_task(tokio::time::sleep(Duration::from_millis(2))));
    LeakGuard::current().verify(Duration::MAX).await.unwrap();
    LeakGuard::process().verify_blocking(Duration::MAX).unwrap();
}

/// One that has ended counts until it is waited for.
#[cfg(not(miri))]
#[test]
fn a_child_process_is_left_until_it_is_waited_for() {
    use std::{
        io::{Read as _, Write as _},
        process::{Command, Stdio},
    };
    let watch = || LeakGuard::process().children_named("cat");
    let (guard, other) = (watch(), LeakGuard::process().children_named("no-such-program"));
    let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = cat.unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // It is called after its program a moment after it was started.
    stdin.write_all(b"x").unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    other.verify_blocking(Duration::ZERO).unwrap();
    let leak = guard.verify_blocking(SHORT).unwrap_err();
    let found: Vec<_> = leak.children().iter().map(|child| (child.pid, &*child.name)).collect();
    assert_eq!(found, [(u64::from(child.id()), "cat")]);
    assert_eq!(leak.to_string(), "left behind: 1 child process(es) \"cat\"");
    // One from before is no leak.
    watch().verify_blocking(Duration::ZERO).unwrap();
    drop(stdin);
    stdout.read_to_end(&mut Vec::new()).unwrap();
    child.wait().unwrap();

    let guard = watch();
    let ends = Command::new("cat").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = ends.unwrap();
    child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    let leak = guard.verify_blocking(SHORT).unwrap_err();
    assert_eq!(leak.children().len(), 1, "{leak}");
    let guard = watch();
    child.wait().unwrap();
    guard.verify_blocking(Duration::ZERO).unwrap();
}

/// Each has a runtime of its own.
#[test]
fn one_of_sixteen_that_run_at_once_fails_alone() {
    use std::sync::Barrier;
    use tidegate_testkit::{Bubble, FailureKind};
    for leaky in 0..tidegate_testkit::scale(50) {
        let leaky = usize::try_from(leaky % 16).unwrap();
        let begin = Barrier::new(16);
        let verdicts: Vec<_> = std::thread::scope(|scope| {
            let run = |n: usize| {
                let begin = &begin;
                move || {
                    begin.wait();
                    Bubble::new().run(async move {
                        let tasks: Vec<_> = (0..20)
                            .map(|ms| spawn_task(tokio::time::sleep(Duration::from_millis(ms))))
                            .collect();
                        if n == leaky {
                            drop(spawn_task(std::future::pending()));
                        }
                        for task in tasks {
                            task.await.unwrap();
                        }
                    })
                }
            };
            let threads: Vec<_> = (0..16).map(|n| scope.spawn(run(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let failed: Vec<_> = (0..16).filter(|n| verdicts[*n].is_err()).collect();
        assert_eq!(failed, [leaky]);
        let failure = verdicts[leaky].as_ref().unwrap_err();
        assert!(
            matches!(failure.kind(), FailureKind::Leaked(leak) if leak.tasks() == 1),
            "{failure}"
        );
    }
}
