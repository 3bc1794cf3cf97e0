//! What was seen, and whether it is good enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::OURS;

/// How much of what is planted ours must find, in per cent.
const FOUND_MIN: usize = 95;

/// Where a bug was found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Source {
    /// What it is called.
    pub text: String,
    /// Its address.
    pub url: String,
}

/// A bug and its cure.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Specimen {
    /// The name.
    pub name: String,
    /// `async` or `threads`.
    pub kind: String,
    /// Where it was found.
    pub source: Source,
    /// What goes wrong.
    pub about: String,
    /// The tools there is a test for.
    pub tools: Vec<String>,
}

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// It failed: something is wrong, and it says so.
    Reported,
    /// It passed.
    Silent,
    /// It did not end within the limit, and said nothing.
    Hangs,
}

/// Both tests of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// With the bug.
    pub planted: Seen,
    /// Without it.
    pub control: Seen,
}

/// What a tool makes of a specimen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It tells the two apart, by a failure of the right one.
    Found,
    /// The planted one hangs, and somebody will have to find out why.
    Hangs,
    /// Nothing.
    Missed,
    /// It does not let the cure pass: what it says means nothing.
    FalseAlarm,
}

impl Pair {
    /// What it comes to.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match (self.planted, self.control) {
            (_, Seen::Reported | Seen::Hangs) => Verdict::FalseAlarm,
            (Seen::Reported, Seen::Silent) => Verdict::Found,
            (Seen::Hangs, Seen::Silent) => Verdict::Hangs,
            (Seen::Silent, Seen::Silent) => Verdict::Missed,
        }
    }
}

/// A specimen, and what each tool saw.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub specimen: Specimen,
    /// By tool.
    pub seen: BTreeMap<String, Pair>,
}

/// What a tool did in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Specimens there is a test for.
    pub of: usize,
    /// Told.
    pub found: usize,
    /// Not told, but the test did not end.
    pub hangs: usize,
    /// Told of what is not wrong.
    pub false_alarms: usize,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In the order of the program.
    pub rows: Vec<Row>,
    /// How long each test could take, in seconds.
    pub limit: u64,
}

impl Table {
    /// How many tests ran.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.rows.iter().map(|row| 2 * row.seen.len() as u64).sum()
    }

    /// The sums of a tool; over one kind, or both.
    #[must_use]
    pub fn score(&self, tool: &str, kind: Option<&str>) -> Score {
        let mut score = Score::default();
        let rows = self.rows.iter().filter(|row| kind.is_none_or(|kind| row.specimen.kind == kind));
        for pair in rows.filter_map(|row| row.seen.get(tool)) {
            let verdict = pair.verdict();
            score.of += 1;
            score.found += usize::from(verdict == Verdict::Found);
            score.hangs += usize::from(verdict == Verdict::Hangs);
            score.false_alarms += usize::from(verdict == Verdict::FalseAlarm);
        }
        score
    }

    /// Whether ours is as good as it has to be.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self) -> Result<(), String> {
        let ours = |row: &Row| row.seen.get(OURS).copied().map(Pair::verdict);
        if self.rows.is_empty() {
            return Err("there is no specimen".into());
        }
        if let Some(idle) = self.rows.iter().find(|row| ours(row).is_none()) {
            return Err(format!("{} was not tested", idle.specimen.name));
        }
        let named = |verdict: Verdict| {
            let rows = self.rows.iter().filter(|row| ours(row) == Some(verdict));
            rows.map(|row| row.specimen.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let score = self.score(OURS, None);
        if score.false_alarms > 0 {
            return Err(format!("not wrong, and reported: {}", named(Verdict::FalseAlarm)));
        }
        if score.found * 100 < score.of * FOUND_MIN {
            let (missed, hang) = (named(Verdict::Missed), named(Verdict::Hangs));
            let Score { found, of, .. } = score;
            return Err(format!("{found} of {of} found; missed: {missed}; hang: {hang}"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use Seen::{Hangs, Reported, Silent};

    pub(in super::super) fn row(name: &str, seen: &[(&str, Seen, Seen)]) -> Row {
        let pair = |planted, control| Pair { planted, control };
        let seen: BTreeMap<_, _> =
            seen.iter().map(|&(tool, p, c)| (tool.to_owned(), pair(p, c))).collect();
        let source = Source { text: "a/b#1".into(), url: "https://example.com/1".into() };
        let (name, kind, about) = (name.to_owned(), "async".to_owned(), "goes wrong".to_owned());
        let tools = seen.keys().cloned().collect();
        Row { specimen: Specimen { name, kind, source, about, tools }, seen }
    }

    fn judge(rows: Vec<Row>) -> Result<(), String> {
        Table { rows, limit: 60 }.judge()
    }

    #[test]
    fn most_must_be_found_and_a_hang_is_not_found() {
        let with = |last: Seen| {
            let mut rows = vec![row("a", &[(OURS, Reported, Silent)]); 18];
            rows.push(row("b", &[(OURS, Reported, Silent)]));
            rows.push(row("c", &[(OURS, last, Silent)]));
            rows
        };
        assert_eq!(judge(with(Reported)), Ok(()));
        assert_eq!(judge(with(Silent)), Ok(()), "19 of 20");
        let mut two = with(Hangs);
        two.push(row("d", &[(OURS, Silent, Silent)]));
        let text = judge(two).unwrap_err();
        assert_eq!(text, "19 of 21 found; missed: d; hang: c");
    }

    #[test]
    fn a_control_that_is_reported_or_hangs_fails() {
        for bad in [Reported, Hangs] {
            let mut rows = vec![row("a", &[(OURS, Reported, Silent)]); 99];
            rows.push(row("b", &[(OURS, Reported, bad)]));
            assert_eq!(judge(rows).unwrap_err(), "not wrong, and reported: b");
        }
    }

    #[test]
    fn what_was_not_run_fails() {
        assert!(judge(Vec::new()).is_err());
        let rows = vec![row("a", &[(OURS, Reported, Silent)]), row("b", &[])];
        assert_eq!(judge(rows).unwrap_err(), "b was not tested");
    }

    #[test]
    fn sums_are_by_tool_and_kind() {
        let rows = vec![
            row("a", &[("peer", Hangs, Silent), (OURS, Reported, Silent)]),
            row("b", &[("peer", Reported, Reported)]),
        ];
        let table = Table { rows, limit: 60 };
        assert_eq!(table.score("peer", None), Score { of: 2, found: 0, hangs: 1, false_alarms: 1 });
        assert_eq!(table.score("peer", Some("threads")), Score::default());
        assert_eq!(table.runs(), 6);
    }
}
