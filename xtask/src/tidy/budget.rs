//! How many crates a user compiles for one of ours.

use super::Violation;
use crate::{cx::Cx, outcome::Stop, process::Cmd};

/// The budget of a published crate, itself included.
#[must_use]
pub fn budget(package: &str) -> usize {
    match package {
        "tidegate-core" => 13,
        "tidegate-ratelimit" | "tidegate-breaker" | "tidegate-bulkhead" => 14,
        _ => 18,
    }
}

/// Counts the crates of `package` with default features.
///
/// # Errors
/// When `cargo tree` fails.
pub fn check(cx: &mut Cx<'_>, package: &str) -> Result<Option<Violation>, Stop> {
    let cmd =
        Cmd::cargo().args(["tree", "--locked", "-e", "normal", "--prefix", "none", "-p", package]);
    let output = cx.check(&cmd)?;
    let count = count(&output);
    cx.note(format_args!("{package}: {count} crates of {}", budget(package)));
    Ok(judge(package, count))
}

/// The distinct packages of a tree.
fn count(tree: &str) -> usize {
    let mut lines: Vec<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)").trim())
        .filter(|line| line.split_once(" v").is_some())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines.len()
}

fn judge(package: &str, count: usize) -> Option<Violation> {
    let budget = budget(package);
    if count == 0 {
        return Some(Violation::of(package, "`cargo tree` listed nothing"));
    }
    (count > budget).then(|| {
        Violation::of(package, format!("{count} crates with default features, budget {budget}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_packages_count_once() {
        let tree = "tidegate-core v0.1.0 (/w)\nthiserror v2.0.0\nsyn v2.0.1\nsyn v2.0.1 (*)\n\
                    quote v1.0.0\nthiserror v2.0.0 (*)\nthiserror-impl v2.0.0 (proc-macro)\n";
        assert_eq!(count(tree), 5);
    }

    #[test]
    fn a_count_above_the_budget_is_found() {
        assert_eq!(judge("tidegate-core", 13), None);
        assert!(judge("tidegate-core", 14).is_some());
        assert_eq!(judge("tidegate-breaker", 14), None);
        assert_eq!(judge("tidegate-fs-walk", 18), None);
        assert!(judge("tidegate-fs-walk", 19).is_some());
        assert!(judge("tidegate-fs-walk", 0).is_some());
    }
}
