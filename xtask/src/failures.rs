//! What failed, out of the log of a lane.
//!
//! A log ends with whatever ran last, which is seldom what failed: another test program may have
//! come after it. So the parts that tell of a failure are looked for in the whole log.

use std::fmt::Write as _;

use crate::parse;

/// How many failures of a lane are shown.
const SHOWN_MAX: usize = 10;

/// How many lines of a failure are shown: the first quarter, and the rest from its end.
const LINES_MAX: usize = 40;

/// One thing that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The test, after the program it belongs to.
    pub name: String,
    /// What was printed of it; empty where the log does not tell it apart from other output.
    pub output: Vec<String>,
}

/// Everything that failed, in the order of the log, each once.
#[must_use]
pub fn all(log: &str) -> Vec<Failure> {
    let lines: Vec<&str> = log.lines().collect();
    let mut found: Vec<Failure> = Vec::new();
    let mut program = Program::default();
    for (at, line) in lines.iter().enumerate() {
        program.follow(&lines, at);
        let rest = &lines[at + 1..];
        if let Some(name) = section(line).filter(|name| program.may_have_failed(name)) {
            let end = (0..rest.len()).find(|at| ends_section(name, &rest[*at..]));
            let own = &rest[..end.unwrap_or(rest.len())];
            add(&mut found, program.name(name), body(own, |_| false));
        } else if *line == "failures:" {
            for name in listed(rest).filter(|name| program.may_have_failed(name)) {
                let output = panic_of(&lines[program.start..at], name);
                add(&mut found, program.name(name), output);
            }
        } else if let Some(name) = nextest_failure(line) {
            add(&mut found, name.to_owned(), body(rest, ends_block));
        } else if line.trim_start().starts_with("process didn't exit successfully") {
            let mut output = last_words(&lines[program.start..at]);
            output.push(line.trim().to_owned());
            add(&mut found, program.name("ended before its tests did"), output);
        } else if is_diagnostic(line, rest) {
            add(&mut found, (*line).to_owned(), body(rest, str::is_empty));
        }
    }
    found
}

/// The text that shows what failed; empty where nothing is known to have.
#[must_use]
pub fn shown(failures: &[Failure]) -> String {
    let mut text = String::new();
    for failure in failures.iter().take(SHOWN_MAX) {
        let _ = writeln!(text, "failed: {}", failure.name);
        for line in shortened(&failure.output) {
            let _ = writeln!(text, "    {line}");
        }
    }
    if failures.len() > SHOWN_MAX {
        let _ = writeln!(text, "and {} more:", failures.len() - SHOWN_MAX);
        for failure in &failures[SHOWN_MAX..] {
            let _ = writeln!(text, "    {}", failure.name);
        }
    }
    text
}

/// The test program whose output is being read.
#[derive(Default)]
struct Program<'a> {
    library: String,
    name: String,
    /// The line after the one that names it.
    start: usize,
    /// The tests that it says failed; none if it never said.
    failed: Option<Vec<&'a str>>,
}

impl<'a> Program<'a> {
    fn follow(&mut self, lines: &[&'a str], at: usize) {
        let line = lines[at].trim_start();
        if let Some(name) = line.strip_prefix(parse::DOC_TESTS) {
            self.library = parse::package_name(name);
            self.name = format!("{} (doc)", self.library);
            // There may be several programs, of which each says what failed in it.
            self.failed = None;
        } else if let Some(rest) = line.strip_prefix("Running unittests ") {
            self.library = parse::binary_name(rest).unwrap_or_default();
            self.name.clone_from(&self.library);
            self.failed = failed_in(&lines[at + 1..]);
        } else if let Some(rest) = line.strip_prefix("Running tests/") {
            // The programs of integration tests run after the unit tests of their crate.
            let file = parse::binary_name(rest).unwrap_or_default();
            self.name = format!("{}::{file}", self.library);
            self.failed = failed_in(&lines[at + 1..]);
        } else {
            return;
        }
        self.start = at + 1;
    }

    /// False for what a child of one of its tests said of itself.
    fn may_have_failed(&self, test: &str) -> bool {
        self.failed.as_ref().is_none_or(|failed| failed.contains(&test))
    }

    fn name(&self, test: &str) -> String {
        format!("{} {test}", self.name).trim_start().to_owned()
    }
}

/// The tests that failed in the program whose output begins here. What it says last is its own:
/// its tests may have run themselves as children, which say the same things, and have failed on
/// purpose.
fn failed_in<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let end = lines.iter().position(|line| parse::begins_program(line)).unwrap_or(lines.len());
    let result = lines[..end].iter().rposition(|line| parse::result_of(line).is_some())?;
    let (_, count) = parse::result_of(lines[result])?;
    if count == 0 {
        return Some(Vec::new());
    }
    let list = lines[..result].iter().rposition(|line| *line == "failures:")?;
    Some(listed(&lines[list + 1..result]).collect())
}

fn add(found: &mut Vec<Failure>, name: String, output: Vec<String>) {
    // Sections come before the list of names, and nextest lists its failures once more at the end.
    match found.iter_mut().find(|failure| failure.name == name) {
        Some(known) if known.output.is_empty() => known.output = output,
        Some(_) => {}
        None => found.push(Failure { name, output }),
    }
}

/// `---- NAME stdout ----`
fn section(line: &str) -> Option<&str> {
    let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(name.strip_suffix(" stdout").or_else(|| name.strip_suffix(" stderr")).unwrap_or(name))
}

/// Whether the section of a test ends before these lines: with that of another, or with the list of
/// all. A test that runs itself in a process of its own has a section of the same name within.
fn ends_section(name: &str, lines: &[&str]) -> bool {
    match lines {
        ["failures:", next, ..] => next.starts_with("    "),
        [line, ..] => section(line).is_some_and(|other| other != name),
        [] => true,
    }
}

/// The lines up to the one that `ends` them, without the frames of backtraces and the blank lines
/// around.
fn body(lines: &[&str], ends: impl Fn(&str) -> bool) -> Vec<String> {
    let mut kept = Vec::new();
    let mut frames = false;
    for line in lines.iter().take_while(|line| !ends(line)) {
        let word = line.trim_start();
        if word == "stack backtrace:" {
            frames = true;
            continue;
        }
        frames &= word.starts_with("at ") || word.starts_with(|c: char| c.is_ascii_digit());
        if !frames && !word.starts_with("note: Some details are omitted") {
            kept.push((*line).to_owned());
        }
    }
    let blank = |line: &String| line.trim().is_empty();
    let start = kept.iter().position(|line| !blank(line)).unwrap_or(kept.len());
    let end = kept.iter().rposition(|line| !blank(line)).map_or(start, |last| last + 1);
    kept[start..end].to_vec()
}

/// The names below `failures:`. The same word stands above the sections, where no name follows.
fn listed<'a>(lines: &[&'a str]) -> impl Iterator<Item = &'a str> {
    lines.iter().map_while(|line| line.strip_prefix("    ")).filter(|name| !name.is_empty())
}

/// What a test said as it panicked: all there is where output is not captured.
fn panic_of(lines: &[&str], test: &str) -> Vec<String> {
    let thread = format!("thread '{test}' ");
    let Some(at) = lines.iter().position(|line| line.contains(&thread)) else { return Vec::new() };
    let ends = |line: &str| line.starts_with("test ") || line.starts_with("thread '");
    let message = body(&lines[at + 1..], |line| ends(line) || line == "failures:");
    std::iter::once(lines[at].to_owned()).chain(message).collect()
}

/// What a program said before it was ended: from the report of the tool that ended it, if one did.
fn last_words(lines: &[&str]) -> Vec<String> {
    let reports = ["WARNING: ThreadSanitizer", "error: Undefined Behavior", "panicked at"];
    let is_report = |line: &&str| reports.iter().any(|report| line.contains(report));
    let start = lines.iter().rposition(is_report).unwrap_or(0);
    body(&lines[start..], |_| false)
}

/// `FAIL [   0.004s] (3/4) xtask parse::tests::x`
fn nextest_failure(line: &str) -> Option<&str> {
    let (status, rest) = nextest_status(line)?;
    // `TRY 1 FAIL` may be followed by a try that holds.
    let failed = parse::nextest_failed(status) && !status.starts_with("TRY");
    failed.then_some(rest)
}

/// The status and the test of a line of nextest.
fn nextest_status(line: &str) -> Option<(&str, &str)> {
    let (status, rest) = line.trim_start().split_once(" [")?;
    let (time, rest) = rest.split_once("s]")?;
    time.trim().trim_start_matches(['>', ' ']).parse::<f64>().ok()?;
    let rest = rest.trim_start();
    let test = match rest.strip_prefix('(') {
        Some(counted) => counted.split_once(')')?.1.trim_start(),
        None => rest,
    };
    Some((status, test))
}

fn ends_block(line: &str) -> bool {
    nextest_status(line).is_some() || !(line.is_empty() || line.starts_with("  "))
}

/// Whether an error of the compiler begins here: it says where in the next line.
fn is_diagnostic(line: &str, rest: &[&str]) -> bool {
    (line.starts_with("error: ") || line.starts_with("error["))
        && rest.first().is_some_and(|next| next.trim_start().starts_with("--> "))
}

fn shortened(lines: &[String]) -> Vec<String> {
    if lines.len() <= LINES_MAX {
        return lines.to_vec();
    }
    let head = LINES_MAX / 4;
    let tail = lines.len() - (LINES_MAX - head - 1);
    let mut kept = lines[..head].to_vec();
    kept.push(format!("[{} lines left out]", tail - head));
    kept.extend_from_slice(&lines[tail..]);
    kept
}

#[cfg(test)]
mod tests;
