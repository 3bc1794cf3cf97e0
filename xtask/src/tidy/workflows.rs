//! The workflows: what they run, what they trust, what they may do.

use super::{Tree, Violation};
use crate::{lane::Lane, profile::Profile};

const FOLDER: &str = ".github/workflows/";

fn all(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let texts = tree.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    texts.filter(|(path, _)| path.starts_with(FOLDER))
}

/// A workflow that runs lanes from a list runs all those of its profile; no workflow runs what is
/// not a lane, and each profile has a workflow.
#[must_use]
pub fn lanes(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut covered = Vec::new();
    for (path, text) in all(tree) {
        let profile = profile(text);
        for (index, line) in text.lines().enumerate() {
            let mut say = |what| found.push(Violation::at(path, index + 1, what));
            for name in called(line) {
                if !COMMANDS.contains(&name) && Lane::named(name).is_none() {
                    say(format!("there is no lane `{name}`"));
                }
            }
            let Some(listed) = list(line) else { continue };
            covered.push(profile);
            for name in listed.iter().filter(|name| Lane::named(name).is_none()) {
                say(format!("there is no lane `{name}`"));
            }
            for lane in Lane::all().iter().filter(|lane| lane.is_in(profile)) {
                if !listed.contains(&lane.name()) {
                    say(format!("lane `{}` of the profile {profile} is missing", lane.name()));
                }
            }
        }
    }
    if all(tree).next().is_some() {
        for profile in Profile::ALL.into_iter().filter(|profile| !covered.contains(profile)) {
            let what = format!("no workflow runs the lanes of the profile {profile}");
            found.push(Violation::of(FOLDER, what));
        }
    }
    found
}

/// Commands that are not lanes.
const COMMANDS: [&str; 3] = ["ci", "report", "doctor"];

/// What a workflow says after `--profile`.
fn profile(text: &str) -> Profile {
    text.split("--profile ")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next())
        .find_map(Profile::named)
        .unwrap_or_default()
}

/// `cargo xtask NAME`
fn called(line: &str) -> impl Iterator<Item = &str> {
    let called =
        line.split("cargo xtask ").skip(1).filter_map(|rest| rest.split_whitespace().next());
    // `${{ matrix.lane }}` stands for the list.
    called.filter(|name| !name.starts_with('$') && !name.starts_with('"'))
}

/// `lane: [NAME, ..]`
fn list(line: &str) -> Option<Vec<&str>> {
    let list = line.trim().strip_prefix("lane:")?.trim();
    let list = list.strip_prefix('[')?.strip_suffix(']')?;
    Some(list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect())
}

/// What a tag or branch names may be another thing tomorrow; a commit is itself.
#[must_use]
pub fn pins(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in all(tree) {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
            let Some(used) = line.strip_prefix("uses:") else { continue };
            let (used, version) = used.split_once('#').unwrap_or((used, ""));
            let commit = used.trim().rsplit_once('@').map_or("", |(_, commit)| commit);
            let is_commit = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
            if !is_commit || !version.trim().starts_with('v') {
                let what = "name the whole commit, and the version in a comment";
                found.push(Violation::at(path, index + 1, what));
            }
        }
    }
    found
}

/// Each job is given what it needs by itself, and an end.
#[must_use]
pub fn bounds(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in all(tree) {
        if !text.lines().any(|line| line == "permissions: {}") {
            found.push(Violation::of(path, "say `permissions: {}` for the workflow"));
        }
        let count = |key: &str| text.lines().filter(|line| line.starts_with(key)).count();
        // Keys of a job, which stand in the fifth column.
        let jobs = count("    runs-on:");
        for key in ["permissions:", "timeout-minutes:"] {
            if count(&format!("    {key}")) != jobs {
                found.push(Violation::of(path, format!("each job needs `{key}`")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{found, tree},
        *,
    };

    fn of(check: fn(&Tree) -> Vec<Violation>, text: &str) -> Vec<String> {
        found(&check(&tree(&[(".github/workflows/a.yml", text)])))
    }

    /// A workflow that runs all lanes of a profile but `without`.
    fn workflow(profile: Profile, without: &str) -> String {
        let names = Lane::all().iter().filter(|lane| lane.is_in(profile)).map(Lane::name);
        let names: Vec<_> = names.filter(|name| *name != without).collect();
        format!(
            "        lane: [{}]\n  - run: cargo xtask ${{{{ matrix.lane }}}} --profile {profile}\n",
            names.join(", ")
        )
    }

    fn both(pr: &str, nightly: &str) -> Vec<String> {
        let files = [(".github/workflows/ci.yml", pr), (".github/workflows/n.yml", nightly)];
        found(&lanes(&tree(&files)))
    }

    #[test]
    fn workflows_name_every_lane_of_their_profile_and_no_other() {
        let (pr, nightly) = (workflow(Profile::Pr, ""), workflow(Profile::Nightly, ""));
        assert_eq!(both(&pr, &nightly), Vec::<String>::new());
        assert_eq!(
            both(
                &format!("{pr}  - run: cargo xtask nope\n  - run: cargo xtask report x\n"),
                &nightly
            ),
            [".github/workflows/ci.yml:3: there is no lane `nope`"]
        );
        assert_eq!(
            both(&pr.replace("loom", "lom"), &nightly),
            [
                ".github/workflows/ci.yml:1: there is no lane `lom`",
                ".github/workflows/ci.yml:1: lane `loom` of the profile pr is missing",
            ]
        );
        assert_eq!(
            both(&pr, &workflow(Profile::Nightly, "mutants")),
            [".github/workflows/n.yml:1: lane `mutants` of the profile nightly is missing"]
        );
        assert_eq!(
            both(&pr, ""),
            [".github/workflows/: no workflow runs the lanes of the profile nightly"]
        );
        assert!(lanes(&tree(&[])).is_empty());
    }

    #[test]
    fn what_is_used_is_pinned_by_its_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert!(of(pins, &format!("      - uses: a/b@{commit} # v1.2.3\n")).is_empty());
        assert!(of(pins, &format!("        uses: a/b/c@{commit} # v1\n")).is_empty());
        for wrong in [
            "      - uses: a/b@v4 # v4".to_owned(),
            "        uses: a/b".to_owned(),
            format!("      - uses: a/b@{} # v1", &commit[..39]),
            format!("      - uses: a/b@{} # v1", commit.replace('f', "g")),
            format!("      - uses: a/b@{commit}"),
        ] {
            assert_eq!(of(pins, &wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn each_job_has_permissions_and_an_end() {
        let good = "\
permissions: {}
jobs:
  a:
    runs-on: x
    timeout-minutes: 5
    permissions:
      contents: read
";
        assert!(of(bounds, good).is_empty());
        for line in ["permissions: {}\n", "    timeout-minutes: 5\n", "    permissions:\n"] {
            assert_eq!(of(bounds, &good.replacen(line, "", 1)).len(), 1, "{line}");
        }
        assert_eq!(of(bounds, &format!("{good}  b:\n    runs-on: x\n")).len(), 2);
    }
}
