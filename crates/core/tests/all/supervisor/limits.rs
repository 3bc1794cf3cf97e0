//! When a supervisor gives up.

use super::play::{Act::*, Broken, Diary, run, secs, sup, sup_after, watch};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    Backoff, Cx, Jitter,
    supervisor::{ChildSpec, EventKind, ExitKind, Limit, SupervisorError},
};

/// Visor.jl#5: the others must not go on.
#[tidegate_testkit::test]
async fn giving_up_stops_the_siblings_in_reverse() {
    let diary = Diary::new();
    let sup = sup()
        .intensity(1, secs(100))
        .child(diary.child("a", &[Linger(1)]))
        .child(diary.child("b", &[FailAfter(1), FailAfter(1)]))
        .child(diary.child("c", &[Linger(2)]));
    let error = run(sup, async |_, _| {}).await.unwrap_err();
    assert_eq!(diary.read(), "0 +a, 0 +b, 0 +c, 1 -b, 1 +b, 2 -b, 4 -c, 5 -a");
    let SupervisorError::GaveUp(fatal) = &error else { panic!("{error}") };
    assert_eq!(fatal.path(), "/app/sup/b");
    assert_eq!(fatal.limit(), Some(Limit::Intensity));
    assert_eq!(fatal.downcast_ref(), Some(&Broken("b")));
    let text = error.to_string();
    assert!(text.starts_with("gave up on /app/sup/b (too many restarts): "), "{text}");
    assert!(text.ends_with("failed: b broke"), "{text}");
    let told: Vec<_> = fatal.history().iter().map(ToString::to_string).collect();
    let gave_up = "+2.000s gave up on b: too many restarts";
    let gave_up = told.iter().position(|told| told == gave_up).unwrap();
    assert_eq!(told[gave_up + 1], "+2.000s c stopping: the supervisor ends");
    assert_eq!(told.last().unwrap(), "+5.000s a ended (#1): finished");
    assert!(told.contains(&"+1.000s b restarting after 0ns".to_owned()), "{told:?}");
}

#[cfg(feature = "tracing")]
#[tidegate_testkit::test]
async fn restarts_and_giving_up_are_events() {
    let events = crate::events::Events::listen();
    let diary = Diary::new();
    let sup = sup().intensity(2, secs(100)).child(diary.child("a", &[FailAfter(1); 9]));
    run(sup, async |_, _| {}).await.unwrap_err();
    assert_eq!(events.count(&["message=restarting", "child=\"/app/sup/a\"", "after=0ns"]), 2);
    assert_eq!(events.count(&["message=gave up", "supervisor=\"/app/sup\"", "too many"]), 1);
    assert_eq!(events.count(&["message=failed", "task=\"/app/sup/a\"", "a broke"]), 3);
}

/// earl#26: a child that crashes when it is started is a busy loop otherwise.
#[tidegate_testkit::test]
async fn a_crash_at_the_start_counts() {
    let starts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&starts);
    let child = ChildSpec::new("a", move |_: Cx<Broken>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err(Broken("a")) }
    });
    let error = run(sup().intensity(5, secs(5)).child(child), async |_, _| {}).await.unwrap_err();
    assert_eq!(error.fatal().unwrap().exit().kind(), ExitKind::Failed);
    assert_eq!(starts.load(Ordering::SeqCst), 6);
}

#[tidegate_testkit::test]
async fn a_panic_before_the_first_await_counts_too() {
    let child = ChildSpec::new("a", |_: Cx<Broken>| -> std::future::Ready<_> {
        panic!("at once, on purpose")
    });
    let error = run(sup().intensity(2, secs(5)).child(child), async |_, _| {}).await.unwrap_err();
    assert_eq!(error.fatal().unwrap().exit().kind(), ExitKind::Panicked);
    let restarts = |kind: &EventKind| matches!(kind, EventKind::Restarting { .. });
    let history = error.fatal().unwrap().history();
    assert_eq!(history.iter().filter(|event| restarts(event.kind())).count(), 2);
}

/// task-supervisor: a limit above 32 was no limit.
#[tidegate_testkit::test]
async fn a_limit_of_a_hundred_is_a_limit_of_a_hundred() {
    let starts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&starts);
    let child = ChildSpec::new("a", move |_: Cx<Broken>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err(Broken("a")) }
    });
    run(sup().intensity(100, secs(5)).child(child), async |_, _| {}).await.unwrap_err();
    assert_eq!(starts.load(Ordering::SeqCst), 101);
}

#[tidegate_testkit::test]
async fn restarts_older_than_the_period_are_forgotten() {
    let diary = Diary::new();
    // A third within 10 s there never is.
    let child = diary.child("a", &[FailAfter(5); 20]);
    watch(&diary, sup().intensity(2, secs(10)).child(child), 100).await;
    let diary = Diary::new();
    let child = diary.child("a", &[FailAfter(4); 20]);
    run(sup().intensity(2, secs(10)).child(child), async |_, _| {}).await.unwrap_err();
    assert_eq!(diary.read(), "0 +a, 4 -a, 4 +a, 8 -a, 8 +a, 12 -a");
}

#[tidegate_testkit::test]
async fn the_restarts_of_all_children_count_together() {
    let diary = Diary::new();
    let sup = sup()
        .intensity(2, secs(100))
        .child(diary.child("a", &[FailAfter(1)]))
        .child(diary.child("b", &[FailAfter(2)]))
        .child(diary.child("c", &[FailAfter(3)]));
    let error = run(sup, async |_, _| {}).await.unwrap_err();
    assert_eq!(error.fatal().unwrap().path(), "/app/sup/c");
}

#[tidegate_testkit::test]
async fn without_restarts_the_first_failure_ends_it() {
    let diary = Diary::new();
    let sup = sup().intensity(0, secs(5)).child(diary.child("a", &[FinishAfter(1)]));
    let error = run(sup, async |_, _| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "gave up on /app/sup/a (too many restarts): finished");
}

#[tidegate_testkit::test]
async fn a_backoff_without_more_delays_ends_it() {
    let diary = Diary::new();
    let backoff = Backoff::constant(secs(1)).jitter(Jitter::None).limit(2);
    let sup = sup_after(0).child(diary.child("a", &[FailAfter(1); 9]).backoff(backoff));
    let error = run(sup, async |_, _| {}).await.unwrap_err();
    assert_eq!(error.fatal().unwrap().limit(), Some(Limit::Backoff));
    assert_eq!(diary.read(), "0 +a, 1 -a, 2 +a, 3 -a, 4 +a, 5 -a");
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_clock_is_no_crash() {
    let diary = Diary::new();
    let backoff = Backoff::constant(Duration::MAX).max(Duration::MAX).jitter(Jitter::None);
    let sup = sup().child(diary.child("a", &[FailAfter(1)]).backoff(backoff));
    let sup = sup.child(diary.slow("b", 1, &[]).start_timeout(Duration::MAX));
    assert_eq!(watch(&diary, sup, 1_000_000).await, "0 +a, 0 +b, 1 -a, 1 up b");
}

#[tidegate_testkit::test]
async fn an_error_that_cannot_be_displayed_is_survived_and_a_long_one_cut_off() {
    struct Odd(usize);
    impl std::fmt::Display for Odd {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            assert!(self.0 > 0, "on purpose");
            f.write_str(&"ö".repeat(self.0))
        }
    }
    impl std::fmt::Debug for Odd {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Odd")
        }
    }
    for (length, expected) in [(0, "(cannot be displayed)"), (5000, "ö...")] {
        let child = ChildSpec::new("a", move |_: Cx<Odd>| async move { Err(Odd(length)) });
        let ended = run(sup().intensity(0, secs(1)).child(child), async |_, _| {}).await;
        let text = ended.unwrap_err().fatal().unwrap().exit().to_string();
        assert!(text.ends_with(expected) && text.len() < 1100, "{text}");
    }
}
