use super::*;

const CARGO_TEST: &str = "\
    Finished `test` profile [optimized] target(s) in 4.05s
     Running unittests src/lib.rs (target/debug/deps/tidegate_core-0f3a9c)

running 3 tests
test cancel::tests::first_cause_wins ... ok
test cancel::tests::child_of_cancelled ... ok
test scope::tests::joins ... FAILED

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s

     Running tests/all.rs (/w/target/debug/deps/all-77ab)

running 4 tests

test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests tidegate_core
test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.31s
";

#[test]
fn cargo_test_is_summed_per_crate() {
    let tests = cargo_test(CARGO_TEST);
    assert_eq!((tests.passed, tests.failed), (13, 1));
    assert_eq!(tests.crates().collect::<Vec<_>>(), ["tidegate-core"]);
    assert_eq!(tests.per_crate["tidegate-core"], 14);
}

#[test]
fn a_result_on_a_shared_line_is_found() {
    let tests = cargo_test("noise test result: ok. 3 passed; 0 failed; 0 ignored");
    assert_eq!(tests.passed, 3);
}

/// A test that runs itself in a process of its own, and one whose child fails on purpose.
#[test]
fn what_children_of_tests_say_is_not_counted() {
    let child = "\
running 1 test
test outer ... FAILED
test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out
";
    let output = format!(
        "     Running unittests src/lib.rs (deps/tidegate_a-1)\n{child}{child}\
         test result: ok. 2 passed; 0 failed; 0 ignored\n     \
         Running tests/all.rs (deps/all-1)\n{child}test result: FAILED. 1 passed; 1 failed; 0 ignored\n     \
         Running unittests src/lib.rs (deps/tidegate_b-1)\n{child}\
         test result: ok. 0 passed; 0 failed; 5 filtered out\n"
    );
    let tests = cargo_test(&output);
    assert_eq!((tests.passed, tests.failed), (3, 1));
    assert_eq!(tests.crates().collect::<Vec<_>>(), ["tidegate-a"]);
}

#[test]
fn each_program_of_documentation_tests_is_counted() {
    let result = "test result: ok. 2 passed; 0 failed; 0 ignored\n";
    let output = format!("{CARGO_TEST}{result}   Doc-tests tidegate_pool\n{result}{result}");
    let tests = cargo_test(&output);
    assert_eq!((tests.passed, tests.per_crate["tidegate-pool"]), (19, 4));
}

#[test]
fn no_output_is_no_test() {
    assert_eq!(cargo_test("error: could not compile"), Tests::default());
    assert_eq!(nextest(""), Tests::default());
}

const NEXTEST: &str = "\
    Starting 4 tests across 2 binaries
        PASS [   0.004s] (1/4) tidegate-core cancel::tests::first_cause_wins
        PASS [   0.004s] (2/4) tidegate-core::all scope::joins
        FAIL [   0.004s] (3/4) xtask parse::tests::x
  TRY 1 FAIL [   0.004s] (3/4) xtask parse::tests::y
     TIMEOUT [  10.004s] ( 4/4) treesum::all big
     Summary [  10.013s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 3 skipped
        FAIL [   0.004s] (3/4) xtask parse::tests::x
";

#[test]
fn nextest_is_summed_by_its_summary() {
    let tests = nextest(NEXTEST);
    assert_eq!((tests.passed, tests.failed), (2, 2));
    let crates: Vec<_> = tests.crates().collect();
    assert_eq!(crates, ["tidegate-core", "treesum", "xtask"]);
}

#[test]
fn the_summary_of_one_test_is_read() {
    let failed = "     SIGABRT [   0.012s] (1/1) tidegate-core scope::joins\n";
    let output =
        format!("{failed}     Summary [   0.013s] 1 test run: 0 passed, 1 failed\n{failed}");
    assert_eq!((nextest(&output).passed, nextest(&output).failed), (0, 1));
}

#[test]
fn nextest_of_older_versions_has_no_counter() {
    let tests = nextest("        PASS [   0.004s] tidegate-core cancel::tests::x\n");
    assert_eq!((tests.passed, tests.per_crate["tidegate-core"]), (1, 1));
}

#[test]
fn executions_are_counted_once_a_model() {
    // The first crate tells both ways, the second one way, the third the other.
    let output = "\
     Running unittests src/lib.rs (deps/a-1)
test loom_a ... INFO loom::model: Completed in 120 iterations
loom-executions: loom_a 120
test loom_b ... INFO loom::model: Completed in 17 iterations
     Running unittests src/lib.rs (deps/b-1)
loom-executions: loom_c 17
     Running unittests src/lib.rs (deps/c-1)
INFO loom::model: ================== Iteration 20000 ==================
INFO loom::model: Completed in 25000 iterations
";
    assert_eq!(loom_executions(output), [120, 17, 17, 25000]);
}

#[test]
fn schedules_are_counted_per_program() {
    let work = shuttle_iterations(
        "test shuttle_a ... shuttle-iterations: a 3000 {\"x\": 2999, \"y\": 1}\n\
         shuttle-iterations: b many\nshuttle: c TIDEGATE_SEED=0x1\n",
    );
    assert_eq!(work, [Scheduled { name: "a".into(), schedules: 3000 }]);
}

#[test]
fn stress_lines_carry_seed_and_rounds() {
    let work = stress_rounds(
        "stress: drop a scope seed=0x2a rounds=4711 threads=2,4\nstress: broken rounds=x\n",
    );
    let stressed = Stressed { name: "drop a scope".into(), seed: "0x2a".into(), rounds: 4711 };
    assert_eq!(work, [stressed]);
}

#[test]
fn compared_files_are_summed() {
    assert_eq!(
        files_compared("test x ... compare: tree files=50000\ncompare: deep files=3\n"),
        50_003
    );
    assert_eq!(files_compared("compare: skipped\n"), 0);
    assert_eq!(comparisons("compare: a files=3\ncompare: b files=0\ncompare: c\n"), 1);
}
