//! Numbers out of the output of test runners.

use std::collections::BTreeMap;

/// What a test runner said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    /// Tests that held.
    pub passed: u64,
    /// Tests that did not.
    pub failed: u64,
    /// Tests that ran, per test binary or package, as the runner names it.
    pub per_crate: BTreeMap<String, u64>,
}

impl Tests {
    /// The crates in which at least one test ran.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.per_crate.iter().filter(|(_, count)| **count > 0).map(|(name, _)| name.as_str())
    }

    fn count(&mut self, name: &str, passed: u64, failed: u64) {
        self.passed += passed;
        self.failed += failed;
        *self.per_crate.entry(name.to_owned()).or_default() += passed + failed;
    }
}

/// Reads the output of `cargo test`: the crate is told by the `Running unittests` and `Doc-tests`
/// lines. A binary of integration tests is called after its file; it runs after the unit tests of
/// its crate, so it is counted there.
///
/// A program says its result last. Tests that run themselves in a process of their own have said
/// one each before that. Documentation tests may be several programs, and each of them counts.
#[must_use]
pub fn cargo_test(output: &str) -> Tests {
    let mut tests = Tests::default();
    let mut current = String::from("?");
    let mut last = None;
    let mut is_doc = false;
    for line in output.lines().map(str::trim) {
        if begins_program(line) {
            if let Some((passed, failed)) = last.take() {
                tests.count(&current, passed, failed);
            }
            is_doc = line.starts_with(DOC_TESTS);
        }
        if let Some(name) = line.strip_prefix(DOC_TESTS) {
            current = package_name(name);
        } else if let Some(rest) = line.strip_prefix("Running unittests ") {
            current = binary_name(rest).unwrap_or(current);
        } else if let Some(counts) = result_of(line) {
            if let Some((passed, failed)) = last.replace(counts).filter(|_| is_doc) {
                tests.count(&current, passed, failed);
            }
        }
    }
    if let Some((passed, failed)) = last {
        tests.count(&current, passed, failed);
    }
    tests
}

/// Before the name of the crate whose documentation tests follow.
pub(crate) const DOC_TESTS: &str = "Doc-tests ";

/// Whether cargo says in this line which test program comes next.
pub(crate) fn begins_program(line: &str) -> bool {
    let line = line.trim_start();
    let running = line.strip_prefix("Running ").is_some_and(|rest| binary_name(rest).is_some());
    running || line.starts_with(DOC_TESTS)
}

/// How many tests passed and failed, if a test program says it in this line; other output may stand
/// before it.
pub(crate) fn result_of(line: &str) -> Option<(u64, u64)> {
    line.find("test result: ").map(|at| result_counts(&line[at..]))
}

/// `src/lib.rs (target/debug/deps/tidegate_core-0f3a)` names `tidegate-core`.
pub(crate) fn binary_name(running: &str) -> Option<String> {
    let path = running.rsplit_once('(')?.1.strip_suffix(')')?;
    let file = path.rsplit('/').next()?;
    let stem = file.rsplit_once('-').map_or(file, |(stem, _hash)| stem);
    Some(package_name(stem))
}

/// The package of a library.
pub(crate) fn package_name(library: &str) -> String {
    library.trim().replace('_', "-")
}

/// `test result: ok. 5 passed; 1 failed; 0 ignored; ...`
fn result_counts(line: &str) -> (u64, u64) {
    let number_before = |word: &str| {
        line.split([';', '.'])
            .filter_map(|part| part.trim().strip_suffix(word))
            .find_map(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    (number_before("passed"), number_before("failed"))
}

/// Reads the output of `cargo nextest run`.
#[must_use]
pub fn nextest(output: &str) -> Tests {
    let mut tests = Tests::default();
    for line in output.lines().map(str::trim) {
        let Some((status, rest)) = line.split_once(" [") else { continue };
        let Some((_time, rest)) = rest.split_once(']') else { continue };
        match status.trim() {
            // The second held too, but left a process holding its output.
            "PASS" | "LEAK" => tests.count(nextest_crate(rest), 1, 0),
            status if nextest_failed(status) => tests.count(nextest_crate(rest), 0, 1),
            _ => {}
        }
    }
    // The lines above are repeated for failed tests at the end of a run: the summary decides.
    // It says `1 test run`, and `3/9 tests run` if it ended early.
    let summary = |line: &'_ str| {
        let (_, numbers) =
            line.split_once(" tests run: ").or_else(|| line.split_once(" test run: "))?;
        Some(numbers.to_owned())
    };
    if let Some(numbers) = output.lines().rev().find_map(summary) {
        let of = |word: &str| -> u64 {
            numbers
                .split(',')
                .filter(|part| part.contains(word))
                .find_map(|part| part.trim().split(' ').next()?.parse().ok())
                .unwrap_or(0)
        };
        tests.passed = of(" passed");
        tests.failed = of(" failed") + of(" timed out") + of(" exec failed");
    }
    tests
}

/// Whether nextest says by `status` that a test failed; one that a signal ended is called after it.
pub(crate) fn nextest_failed(status: &str) -> bool {
    matches!(status, "FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL" | "EXECFAIL")
        || status.starts_with("SIG")
}

/// `(3/9) tidegate-core::all cancel::tree` names `tidegate-core`.
fn nextest_crate(rest: &str) -> &str {
    let mut words = rest.split_whitespace().skip_while(|word| {
        word.starts_with('(')
            || word.ends_with(')')
            || word.chars().all(|c| c.is_ascii_digit() || c == '/')
    });
    let binary = words.next().unwrap_or("?");
    binary.split("::").next().unwrap_or(binary)
}

/// What a stress test says it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stressed {
    /// The test.
    pub name: String,
    /// With what seed.
    pub seed: String,
    /// How often.
    pub rounds: u64,
}

/// How often each model ran. There are two sources: lines `loom-executions: <name> <n>` that a
/// model prints when it is done, and `Completed in <n> iterations`, which `loom::model` prints under
/// `LOOM_LOG` but `loom::model::Builder` does not. A crate may use both for the same model, so the
/// source that knows more models of the crate counts.
#[must_use]
pub fn loom_executions(output: &str) -> Vec<u64> {
    let first_number = |rest: &str| rest.split_whitespace().next()?.parse::<u64>().ok();
    let mut all = Vec::new();
    for part in output.split("Running unittests ") {
        let own: Vec<u64> = after(part, "loom-executions: ")
            .filter_map(|rest| first_number(rest.split_once(' ')?.1))
            .collect();
        let looms: Vec<u64> = after(part, "Completed in ").filter_map(first_number).collect();
        all.extend(if own.len() >= looms.len() { own } else { looms });
    }
    all
}

/// What the tests of each crate counted: one entry a line `<what>: <name> <n>`, such as
/// `cancel-points: a_test 7`, with the crate in place of the name.
#[must_use]
pub fn counted(output: &str, what: &str) -> Vec<(String, u64)> {
    let prefix = format!("{what}: ");
    let mut all = Vec::new();
    for part in output.split("Running unittests ").skip(1) {
        let name = part.lines().next().and_then(binary_name).unwrap_or_default();
        let counts = after(part, &prefix)
            .filter_map(|rest| rest.split_whitespace().nth(1)?.parse::<u64>().ok());
        all.extend(counts.map(|count| (name.clone(), count)));
    }
    all
}

/// Under how many schedules a program ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The program.
    pub name: String,
    /// How many.
    pub schedules: u64,
}

/// Reads lines `shuttle-iterations: <name> <n> ..`; the name has no spaces.
#[must_use]
pub fn shuttle_iterations(output: &str) -> Vec<Scheduled> {
    after(output, "shuttle-iterations: ")
        .filter_map(|rest| {
            let mut words = rest.split_whitespace();
            let (name, schedules) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some(Scheduled { name, schedules })
        })
        .collect()
}

/// Reads lines `stress: <name> seed=0x.. rounds=N`; the name may hold spaces.
#[must_use]
pub fn stress_rounds(output: &str) -> Vec<Stressed> {
    after(output, "stress: ")
        .filter_map(|rest| {
            let (name, numbers) = rest.split_once(" seed=")?;
            let (seed, numbers) = numbers.split_once(' ')?;
            let rounds = numbers.split_whitespace().find_map(|w| w.strip_prefix("rounds="))?;
            let (name, seed) = (name.to_owned(), seed.to_owned());
            Some(Stressed { name, seed, rounds: rounds.parse().ok()? })
        })
        .collect()
}

/// The files of all lines `compare: <name> files=N`.
#[must_use]
pub fn files_compared(output: &str) -> u64 {
    compared(output).sum()
}

/// How many lines `compare: <name> files=N` there are with an `N` above 0.
#[must_use]
pub fn comparisons(output: &str) -> u64 {
    compared(output).filter(|files| *files > 0).count() as u64
}

fn compared(output: &str) -> impl Iterator<Item = u64> {
    after(output, "compare: ")
        .filter_map(|rest| rest.split_whitespace().find_map(|word| word.strip_prefix("files=")))
        .filter_map(|count| count.parse::<u64>().ok())
}

/// With one test thread the harness has already printed `test name ... ` on the line.
fn after<'a>(output: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    output.lines().filter_map(move |line| line.split_once(prefix).map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests;
