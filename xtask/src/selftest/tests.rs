use super::*;

fn said(result: Outcome, reason: &str, log: &str) -> Said {
    let report = Report { result, reason: reason.to_owned(), ..Report::new("test", "") };
    let log = format!("{log}\n{result}: {reason}\n");
    Said { report, log, again: Vec::new() }
}

const BUG: Bug = Bug { name: "a-bug", files: &[], reason: "tests failed", log: "adds ... FAILED" };

#[test]
fn every_lane_is_tested_or_exempt_for_a_reason() {
    for lane in Lane::all() {
        let tested = FAULTS.iter().filter(|fault| fault.lane == lane.name()).count();
        let exempt = EXEMPT.iter().filter(|(exempt, _)| *exempt == lane.name()).count();
        assert_eq!(tested + exempt, 1, "{} is tested {tested} times", lane.name());
    }
    assert!(EXEMPT.iter().all(|(_, reason)| !reason.is_empty()));
}

#[test]
fn every_lane_has_a_bug_and_every_bug_can_be_told() {
    for fault in FAULTS {
        assert!(Lane::named(fault.lane).is_some(), "{}", fault.lane);
        assert!(!fault.planted.is_empty(), "{}", fault.lane);
        let bugs = fault.planted.iter().chain(fault.empty);
        let mut names: Vec<&str> = bugs.clone().map(|bug| bug.name).collect();
        names.push("clean");
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{}: two variants of a name", fault.lane);
        for bug in bugs {
            assert!(!bug.reason.is_empty(), "{}: any reason would do", bug.name);
            // It is part of a version.
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            assert!(bug.name.chars().all(plain), "{}", bug.name);
        }
        for bug in fault.planted {
            assert!(!bug.log.is_empty(), "{}: any log would do", bug.name);
        }
    }
}

#[test]
fn without_a_bug_only_a_pass_is_right() {
    assert_eq!(judge(&said(Outcome::Pass, "", ""), None), Ok(()));
    for result in [Outcome::Fail, Outcome::Timeout, Outcome::Inconclusive] {
        assert!(judge(&said(result, "tests failed", ""), None).is_err(), "{result}");
    }
}

#[test]
fn a_bug_must_be_found_for_what_it_is() {
    let right = said(Outcome::Fail, "1 tests failed", "test adds ... FAILED");
    assert_eq!(judge(&right, Some(&BUG)), Ok(()));
    for result in [Outcome::Pass, Outcome::Timeout, Outcome::Inconclusive] {
        let other = said(result, "1 tests failed", "test adds ... FAILED");
        assert!(judge(&other, Some(&BUG)).is_err(), "{result}");
    }
    let broken = said(Outcome::Fail, "the test run failed", "test adds ... FAILED");
    assert!(judge(&broken, Some(&BUG)).unwrap_err().contains("another reason"));
    let other = said(Outcome::Fail, "1 tests failed", "test removes ... FAILED");
    assert!(judge(&other, Some(&BUG)).unwrap_err().contains("does not say"));
}

#[test]
fn the_token_of_a_failure_must_fail_again() {
    let token: Token = "test@3ee12b1c96/tide/adds".parse().unwrap();
    let ended = |ended| {
        let again = vec![(token.clone(), ended)];
        judge(&Said { again, ..said(Outcome::Fail, "tests failed", "adds ... FAILED") }, Some(&BUG))
    };
    assert_eq!(ended(Err(Stop::fail("it failed again: `cargo test`"))), Ok(()));
    assert!(ended(Ok(())).unwrap_err().contains("does not fail again"));
    assert!(ended(Err(Stop::fail("there is no such test any more"))).is_err());
}

#[test]
fn the_reason_of_the_lane_does_not_speak_for_its_tool() {
    let bug = Bug { log: "tests failed", ..BUG };
    assert!(judge(&said(Outcome::Fail, "1 tests failed", "Compiling"), Some(&bug)).is_err());
}

#[test]
fn one_surprise_fails_and_what_could_not_run_is_no_pass() {
    let one = Count { expected: 1, unavailable: 0, all: 1 };
    let row = |counts| Row { lane: "loom", counts, seconds: 12.4 };
    assert!(verdict(&[row([one; 3])], &[]).is_ok());
    assert_eq!(verdict(&[], &[]).unwrap_err().outcome, Outcome::Fail);
    let surprised = verdict(&[row([one; 3])], &["loom on clean: why".to_owned()]).unwrap_err();
    assert_eq!(surprised.reason, "1 surprises, the first: loom on clean: why");
    let missing = Count { expected: 0, unavailable: 1, all: 1 };
    let stop = verdict(&[row([missing, one, one])], &[]).unwrap_err();
    assert_eq!(stop.outcome, Outcome::Unavailable);
    assert!(stop.reason.starts_with("some of loom "), "{}", stop.reason);
}

#[test]
fn the_table_tells_what_was_wrong() {
    let count = |expected, unavailable, all| Count { expected, unavailable, all };
    let rows = [
        Row {
            lane: "loom",
            counts: [count(1, 0, 1), count(2, 0, 2), count(0, 0, 0)],
            seconds: 12.4,
        },
        Row {
            lane: "miri",
            counts: [count(0, 1, 1), count(1, 0, 2), count(0, 0, 1)],
            seconds: 3.0,
        },
    ];
    let expected = "\
| lane     | clean       | planted     | empty       | time |
| -------- | ----------- | ----------- | ----------- | ---- |
| loom     | pass        | fail ×2     | -           |  12s |
| miri     | unavailable | **1 wrong** | **1 wrong** |   3s |
";
    assert_eq!(table(&rows), expected);
}
