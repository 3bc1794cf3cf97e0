use super::*;

fn names(failures: &[Failure]) -> Vec<&str> {
    failures.iter().map(|failure| failure.name.as_str()).collect()
}

const CAPTURED: &str = "\
     Running unittests src/lib.rs (target/debug/deps/tidegate_core-9949de)

running 3 tests
test tests::bad_two ... FAILED
test tests::good ... ok
test tests::bad_one ... FAILED

failures:

---- tests::bad_two stdout ----
Error: \"no\"

---- tests::bad_one stdout ----
said out

thread 'tests::bad_one' (17334) panicked at src/lib.rs:3:70:
assertion `left == right` failed: numbers
  left: 1
 right: 2
stack backtrace:
   0: __rustc::rust_begin_unwind
             at /rustc/library/std/src/panicking.rs:689:5
   1: probe::tests::bad_one
             at ./src/lib.rs:3:70
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.


failures:
    tests::bad_one
    tests::bad_two

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.14s

error: test failed, to rerun pass `--lib`
     Running tests/all.rs (target/debug/deps/all-2310c6)

running 1 test
test outer ... FAILED

failures:

---- outer stdout ----
outer fails

failures:
    outer

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.11s
   Doc-tests tidegate_core
---- crates/core/src/lib.rs - (line 5) stdout ----
doc fails

failures:
    crates/core/src/lib.rs - (line 5)
";

#[test]
fn every_failed_test_is_found_however_much_comes_after_it() {
    let log = format!("{CAPTURED}{}", "test x ... ok\n".repeat(10_000));
    let failures = all(&log);
    assert_eq!(
        names(&failures),
        [
            "tidegate-core tests::bad_two",
            "tidegate-core tests::bad_one",
            "tidegate-core::all outer",
            "tidegate-core (doc) crates/core/src/lib.rs - (line 5)",
        ]
    );
    assert_eq!(failures[0].output, ["Error: \"no\""]);
    assert_eq!(
        failures[1].output,
        [
            "said out",
            "",
            "thread 'tests::bad_one' (17334) panicked at src/lib.rs:3:70:",
            "assertion `left == right` failed: numbers",
            "  left: 1",
            " right: 2",
        ]
    );
    assert_eq!(failures[2].output, ["outer fails"]);
}

#[test]
fn what_a_test_says_of_its_own_child_is_within_its_section() {
    let log = "\
failures:

---- child stdout ----
outer words

running 1 test
test child ... FAILED

failures:

---- child stdout ----
inner words

failures:
    child

test result: FAILED. 0 passed; 1 failed

---- other stdout ----
other words

failures:
    child
    other
";
    let failures = all(log);
    assert_eq!(names(&failures), ["child", "other"]);
    assert_eq!(failures[0].output.first().unwrap(), "outer words");
    assert_eq!(failures[0].output.last().unwrap(), "inner words");
    assert_eq!(failures[1].output, ["other words"]);
}

#[test]
fn a_panic_that_was_not_captured_is_found_by_the_name_of_its_thread() {
    let log = "\
     Running unittests src/lib.rs (target/debug/deps/a-9949de)
thread 'tests::bad' (1) panicked at src/lib.rs:1:1:
of an earlier program
     Running unittests src/lib.rs (target/debug/deps/b-9949de)
test tests::bad ... thread 'tests::bad' (17364) panicked at src/lib.rs:3:70:
numbers
stack backtrace:
   0: frame
test tests::good ... ok
FAILED

failures:

failures:
    tests::bad
    tests::silent

test result: FAILED. 1 passed; 2 failed
";
    let failures = all(log);
    assert_eq!(names(&failures), ["b tests::bad", "b tests::silent"]);
    assert_eq!(failures[0].output.len(), 2);
    assert!(failures[0].output[0].ends_with("panicked at src/lib.rs:3:70:"));
    assert_eq!(failures[0].output[1], "numbers");
    assert_eq!(failures[1].output, Vec::<String>::new());
}

/// Without capturing, a child's words stand among those of its program.
#[test]
fn children_that_failed_on_purpose_are_not_listed() {
    let child = "\
running 1 test
test fails_on_purpose ... FAILED

failures:

---- fails_on_purpose stdout ----
words

failures:
    fails_on_purpose

test result: FAILED. 0 passed; 1 failed
";
    let log = format!(
        "     Running unittests src/lib.rs (deps/a-1)\n{child}test outer ... ok\n\
         test result: ok. 1 passed; 0 failed\n     \
         Running tests/all.rs (deps/all-1)\n{child}test other ... FAILED\n\n\
         failures:\n\nfailures:\n    other\n\ntest result: FAILED. 3 passed; 1 failed\n"
    );
    assert_eq!(names(&all(&log)), ["a::all other"]);
}

const NEXTEST: &str = "\
    Starting 6 tests across 2 binaries
        FAIL [   0.013s] (1/6) probe tests::bad_two
  stdout \u{2500}\u{2500}\u{2500}

    running 1 test
    test tests::bad_two ... FAILED

    failures:
        tests::bad_two

  stderr \u{2500}\u{2500}\u{2500}
    Error: \"no\"

        PASS [   0.008s] (2/6) probe tests::good
     SIGABRT [   0.012s] (3/6) probe::all stuck
    (test aborted with signal 6: SIGABRT)

  TRY 1 FAIL [   0.004s] (4/6) probe tests::twice
     TIMEOUT [ 10.004s] (5/6) probe big
\u{2500}\u{2500}\u{2500}\u{2500}
     Summary [  10.013s] 6 tests run: 3 passed, 1 failed
        FAIL [   0.013s] (1/6) probe tests::bad_two
error: test run failed
";

#[test]
fn blocks_of_nextest_are_found() {
    let failures = all(NEXTEST);
    assert_eq!(names(&failures), ["probe tests::bad_two", "probe::all stuck", "probe big"]);
    assert_eq!(failures[0].output.last().unwrap(), "    Error: \"no\"");
    assert_eq!(failures[1].output, ["    (test aborted with signal 6: SIGABRT)"]);
    assert_eq!(failures[2].output, Vec::<String>::new());
}

#[test]
fn a_program_that_died_shows_what_it_said_last() {
    let log = "\
     Running unittests src/lib.rs (target/debug/deps/probe-99)

running 2 tests
test one ... ok
WARNING: ThreadSanitizer: data race (pid=1)
error: test failed, to rerun pass `--lib`

Caused by:
  process didn't exit successfully: `probe-99` (exit status: 66)
";
    let failures = all(log);
    assert_eq!(names(&failures), ["probe ended before its tests did"]);
    assert_eq!(failures[0].output[0], "WARNING: ThreadSanitizer: data race (pid=1)");
    assert!(failures[0].output.last().unwrap().contains("exit status: 66"));
}

#[test]
fn errors_of_the_compiler_are_found() {
    let log = "\
error[E0425]: cannot find value `x` in this scope
  --> src/lib.rs:1:1
   |
1  | x

   Compiling another v0.1.0
error: could not compile `probe` (lib) due to 1 previous error
";
    let failures = all(log);
    assert_eq!(names(&failures), ["error[E0425]: cannot find value `x` in this scope"]);
    assert_eq!(failures[0].output.len(), 3);
}

#[test]
fn a_log_without_a_failure_has_none() {
    let log = "running 1 test\ntest failures ... ok\n\ntest result: ok. 1 passed; 0 failed\n";
    assert_eq!(all(log), []);
    assert_eq!(shown(&[]), "");
}

#[test]
fn what_is_shown_is_bounded() {
    let output: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
    let failures: Vec<Failure> =
        (0..12).map(|n| Failure { name: format!("t{n}"), output: output.clone() }).collect();
    let text = shown(&failures);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 10 * (1 + LINES_MAX) + 1 + 2);
    assert_eq!(lines[0], "failed: t0");
    assert_eq!(lines[10..13], ["    line 9", "    [61 lines left out]", "    line 71"]);
    assert_eq!(lines[40], "    line 99");
    assert_eq!(lines[lines.len() - 3..], ["and 2 more:", "    t10", "    t11"]);
}
