//! Calls go wrong as planned, and those that do not are the operation's own.

use std::{
    cell::Cell,
    convert::Infallible,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};
use tidegate_testkit::{
    Bubble, FailureKind, FaultPlanError, FlakyError, FlakyPlan, Seed, bubble, cancel_everywhere,
    flaky,
};
use tokio::{join, spawn, time::Instant};

const MINUTE: Duration = Duration::from_secs(60);

fn plan() -> tidegate_testkit::FlakyPlanBuilder {
    FlakyPlan::seeded(Seed::new(1))
}

#[test]
fn calls_fail_by_their_numbers() {
    let plan = plan().fail_calls(1..3).fail_calls(4..5).build().unwrap();
    let runs = Cell::new(0);
    let count = flaky(plan, async |()| {
        runs.set(runs.get() + 1);
        Ok::<_, Infallible>(())
    });
    bubble(async {
        for call in 0..6 {
            let planned = [1, 2, 4].contains(&call);
            let expected = if planned { Err(FlakyError::Planned { call }) } else { Ok(()) };
            assert_eq!(count.call(()).await, expected);
        }
    });
    assert_eq!((runs.get(), count.counts().calls, count.counts().failed), (3, 6, 3));
}

#[test]
fn one_seed_is_one_schedule_whoever_calls_beside() {
    let outcomes = |is_slow: bool| {
        bubble(async {
            let delays = if is_slow { 0.5 } else { 0.0 };
            let plan = plan().failures(0.3).delays(delays, MINUTE).build().unwrap();
            let backend = flaky(plan, async |()| Ok::<_, Infallible>(()));
            let begun = Instant::now();
            let mut outcomes = Vec::new();
            for _ in 0..50 {
                let (a, b) = join!(backend.call(()), backend.call(()));
                outcomes.extend([a, b]);
            }
            let counts = backend.counts();
            let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count() as u64;
            assert_eq!((counts.calls, counts.failed), (100, failed));
            assert!((15..50).contains(&failed), "{failed}");
            assert_eq!(counts.delayed > 25, is_slow);
            assert_eq!(begun.elapsed() > MINUTE * 25, is_slow);
            outcomes
        })
    };
    assert_eq!(outcomes(false), outcomes(true));
}

#[test]
fn errors_of_the_operation_are_its_own() {
    let io = flaky(plan().build().unwrap(), async |kind: ErrorKind| {
        Err::<(), _>(io::Error::new(kind, "by itself"))
    });
    bubble(async {
        let error = io.call(ErrorKind::TimedOut).await.unwrap_err();
        assert_eq!(error.to_string(), "by itself");
        assert!(matches!(error, FlakyError::Failed(e) if e.kind() == ErrorKind::TimedOut));
    });
    let planned = FlakyError::<io::Error>::Planned { call: 7 };
    assert_eq!(planned.to_string(), "call 7 fails as planned");
}

#[test]
fn a_panic_says_that_it_is_planned() {
    let plan = plan().panics(1.0).failures(1.0).build().unwrap();
    let backend = Arc::new(flaky(plan, async |()| Ok::<_, Infallible>(())));
    let called = Arc::clone(&backend);
    let failure = Bubble::new()
        .run(async {
            let panicked = spawn(async move { called.call(()).await });
            panicked.await.unwrap_err();
        })
        .unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Panicked), "{failure}");
    let panics = failure.panics();
    assert!(panics[0].contains("call 0 panics as planned"), "{failure}");
    assert_eq!((backend.counts().panicked, backend.counts().failed), (1, 0));
}

#[test]
fn a_delay_that_is_given_up_has_not_begun_the_operation() {
    let report = cancel_everywhere(
        || Cell::new(0),
        async |runs| {
            let plan = plan().delays(1.0, MINUTE).build().unwrap();
            let run = flaky(plan, async |()| {
                runs.set(runs.get() + 1);
                Ok::<_, Infallible>(())
            });
            run.call(()).await.unwrap();
        },
        async |runs, point| assert_eq!(runs.get(), 0, "{point}"),
    );
    report.assert_covered(2);
}

#[test]
fn what_is_no_probability_is_refused_by_name() {
    let wrong = [
        ("failures", plan().failures(2.0)),
        ("panics", plan().panics(-1.0)),
        ("delays", plan().delays(f64::NAN, MINUTE)),
    ];
    for (name, plan) in wrong {
        let FaultPlanError::NotAProbability { fault, .. } = plan.build().unwrap_err() else {
            panic!("{name}");
        };
        assert_eq!(fault, name);
    }
}
