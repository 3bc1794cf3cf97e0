//! The runner finds a planted race from nearly every seed and never one that is not there.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use tidegate_testkit::{Rng, Seed, Stress, StressFailure, point_here, scale};

/// Most are found within milliseconds, unless the machine does something else.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

fn lost_update(seed: u64) -> Result<u64, StressFailure> {
    let stress = Stress::new("lost update").seed(Seed::new(seed)).reruns(0);
    let stress = stress.threads(4).time(FOUND_WITHIN).min_rounds(1);
    let report = stress.try_run(
        |_| AtomicUsize::new(0),
        |counter, ctx| {
            let read = counter.load(Relaxed);
            ctx.point();
            counter.store(read + 1, Relaxed);
        },
        |counter, threads| match counter.load(Relaxed) {
            n if n == threads => Ok(()),
            n => Err(format!("{n} of {threads}")),
        },
    )?;
    Ok(report.rounds)
}

#[test]
fn a_lost_update_is_found_from_nine_seeds_of_ten() {
    let seeds = scale(100);
    let found = (0..seeds).filter(|&seed| lost_update(seed).is_err()).count() as u64;
    assert!(found * 10 >= seeds * 9, "{found} of {seeds}");
}

/// A counter whose every access passes a point, as behind a shim.
struct Shimmed(AtomicUsize);

impl Shimmed {
    fn load(&self) -> usize {
        point_here();
        self.0.load(Relaxed)
    }

    fn store(&self, value: usize) {
        point_here();
        self.0.store(value, Relaxed);
    }
}

#[test]
fn a_body_without_points_is_disturbed_by_those_of_its_counter() {
    let found = |seed: &u64| {
        let stress = Stress::new("shimmed").seed(Seed::new(*seed)).reruns(0).threads(4);
        let result = stress.time(FOUND_WITHIN).min_rounds(1).try_run(
            |_| Shimmed(AtomicUsize::new(0)),
            |counter, _| counter.store(counter.load() + 1),
            |counter, threads| match counter.load() {
                n if n == threads => Ok(()),
                n => Err(format!("{n} of {threads}")),
            },
        );
        result.is_err()
    };
    let seeds = scale(100);
    let found = (0..seeds).filter(found).count() as u64;
    assert!(found * 10 >= seeds * 9, "{found} of {seeds}");
}

#[test]
fn a_correct_counter_never_fails() {
    let ended = AtomicU64::new(0);
    let report = Stress::new("fetch_add").run(
        |_| AtomicUsize::new(0),
        |counter, ctx| {
            ctx.point();
            counter.fetch_add(1, Relaxed);
            ended.fetch_add(1, Relaxed);
        },
        |counter, threads| match counter.load(Relaxed) {
            n if n == threads => Ok(()),
            n => Err(format!("{n} of {threads}")),
        },
    );
    assert_eq!(report.threads, [2, 4, 8]);
    assert!(report.rounds >= 3 * scale(200));
    // Every thread took part in every round exactly once, so the mean lies between 2 and 8.
    let ended = ended.into_inner();
    assert!(ended >= 2 * report.rounds && ended <= 8 * report.rounds, "{ended} {report}");
    let line = report.to_string();
    assert!(line.starts_with("stress: fetch_add seed=0x"), "{line}");
    assert!(line.ends_with("threads=2,4,8"), "{line}");
}

#[test]
fn the_decisions_of_a_seed_are_the_same_each_time() {
    let draw = || {
        let drawn = Mutex::new(Vec::new());
        let stress = Stress::new("draw").seed(Seed::new(5)).threads(3).min_rounds(10);
        stress.time(Duration::ZERO).run(
            Rng::next_u64,
            |&made, ctx| {
                let entry = (made, ctx.index(), ctx.rng().next_u64());
                drawn.lock().unwrap().push(entry);
            },
            |_, _| Ok(()),
        );
        let mut drawn = drawn.into_inner().unwrap();
        drawn.sort_unstable();
        drawn
    };
    let (first, second) = (draw(), draw());
    assert_eq!(first, second);
    assert_eq!(first.len(), 30);
    let mut distinct: Vec<u64> = first.iter().map(|entry| entry.2).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 30, "every thread of every round has a stream of its own");
}

#[test]
fn a_failure_says_how_often_it_comes_back() {
    let failure = Stress::new("always").threads(2).reruns(10).try_run(
        |_| (),
        |(), ctx| assert!(ctx.index() != 1, "thread one is unhappy"),
        |(), _| Ok(()),
    );
    let failure = failure.unwrap_err();
    let StressFailure::Failed { seed, round: 0, reruns: 10, again: 10, message, .. } = &failure
    else {
        panic!("{failure}");
    };
    assert_eq!(message, "thread 1 panicked: thread one is unhappy");
    let text = failure.to_string();
    assert!(text.contains("TIDEGATE_SEED=0x") && text.contains("10 of 10 times"), "{text}");
    // What `unwrap` shows.
    let end = format!(
        "TIDEGATE_SEED={seed} cargo test -p tidegate-testkit --test all -- --exact \
         stress::a_failure_says_how_often_it_comes_back"
    );
    assert!(format!("{failure:?}").ends_with(&end), "{failure:?}");
}

/// What `unwrap` prints is made for people: a timeline has lines.
#[test]
fn a_failure_is_debugged_as_its_text() {
    let check = |(): &(), _| Err("one\ntwo".to_owned());
    let failure = Stress::new("lines").reruns(0).try_run(|_| (), |(), _| {}, check).unwrap_err();
    assert!(failure.to_string().contains("one\ntwo"), "{failure}");
    assert_eq!(format!("{failure:?}"), failure.to_string());
}

#[test]
fn a_failure_that_does_not_come_back_is_told_apart() {
    let failed = AtomicBool::new(false);
    let result = Stress::new("once").threads(2).reruns(7).try_run(
        |_| (),
        |(), _| (),
        |(), _| if failed.swap(true, Relaxed) { Ok(()) } else { Err("once".into()) },
    );
    assert!(matches!(result, Err(StressFailure::Failed { again: 0, reruns: 7, .. })), "{result:?}");
}

#[test]
fn a_panic_while_making_or_checking_ends_the_run() {
    let make = Stress::new("make").threads(2).reruns(0).try_run(
        |_| assert!(scale(1) == 0, "no state"),
        |(), _| (),
        |(), _| Ok(()),
    );
    assert!(make.unwrap_err().to_string().contains("panic: no state"));
    let check = Stress::new("check").threads(2).reruns(0).try_run(
        |_| (),
        |(), _| (),
        |(), threads| panic!("{threads} ended"),
    );
    assert!(check.unwrap_err().to_string().contains("panic: 2 ended"));
}

#[test]
fn too_few_rounds_are_inconclusive() {
    let stress = Stress::new("slow").threads(1).time(Duration::ZERO).min_rounds(u64::MAX);
    let result =
        stress.patience(Duration::from_millis(20)).try_run(|_| (), |(), _| (), |(), _| Ok(()));
    let Err(StressFailure::Inconclusive { rounds, .. }) = &result else { panic!("{result:?}") };
    assert!(*rounds > 0);
    assert!(result.unwrap_err().to_string().contains("INCONCLUSIVE"));
}

#[test]
fn only_the_last_panic_of_a_round_is_kept() {
    let failure = Stress::new("all").threads(3).reruns(0).try_run(
        |_| (),
        |(), ctx| assert!(ctx.index() == 1, "unhappy"),
        |(), _| Ok(()),
    );
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("thread 0 panicked: unhappy; thread 2 panicked: unhappy;"), "{text}");
}

/// Run by the test below in a process of its own, which dies in the first rerun.
#[test]
fn dies_when_run_again() {
    if std::env::var_os("TIDEGATE_DIES").is_none() {
        return;
    }
    let again = AtomicBool::new(false);
    let check = |(): &(), _| {
        if again.swap(true, Relaxed) {
            std::process::abort();
        }
        Err("the first message".to_owned())
    };
    Stress::new("dies").threads(1).run(|_| (), |(), _| (), check);
}

#[cfg(not(miri))]
#[test]
fn a_rerun_that_dies_takes_the_message_with_it() {
    let died = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stress::dies_when_run_again", "--nocapture"])
        .env("TIDEGATE_DIES", "1")
        .output()
        .unwrap();
    assert!(!died.status.success());
    let said = String::from_utf8_lossy(&died.stderr);
    assert!(said.contains("stress: dies seed=0x") && said.contains("the first message"), "{said}");
}

/// Run by the test below in a process of its own: the threads of a deadlock cannot be joined.
#[test]
fn hangs_for_ever() {
    if std::env::var_os("TIDEGATE_HANGS").is_none() {
        return;
    }
    // Is not waited for to the end, since nothing moves.
    let stress = Stress::new("hangs").threads(3).hang_after(Duration::from_secs(6));
    stress.run(
        |_| ([Mutex::new(()), Mutex::new(())], Barrier::new(2)),
        |(locks, both), ctx| {
            if ctx.index() == 2 {
                return;
            }
            let _first = locks[ctx.index()].lock().unwrap();
            both.wait();
            if ctx.index() == 0 {
                ctx.point();
            }
            let _second = locks[1 - ctx.index()].lock().unwrap();
        },
        |_, _| Ok(()),
    );
}

#[cfg(not(miri))]
#[test]
fn a_round_that_hangs_says_where_its_threads_are() {
    let died = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stress::hangs_for_ever", "--nocapture"])
        .env("TIDEGATE_HANGS", "1")
        .output()
        .unwrap();
    assert!(!died.status.success());
    let said = String::from_utf8_lossy(&died.stderr);
    assert!(said.contains("round=0 threads=3 HUNG; aborting\n"), "{said}");
    assert!(said.contains("\n  thread 0 was last seen at "), "{said}");
    assert!(said.contains("stress.rs:"), "{said}");
    assert!(said.contains("\n  thread 1 has passed no point\n  thread 2 has ended\n"), "{said}");
}

#[test]
fn a_patience_without_an_end_is_one() {
    let stress = Stress::new("patient").threads(1).patience(Duration::MAX).time(Duration::ZERO);
    let report = stress.min_rounds(3).try_run(|_| (), |(), _| {}, |(), _| Ok(())).unwrap();
    assert_eq!(report.rounds, 3);
}
