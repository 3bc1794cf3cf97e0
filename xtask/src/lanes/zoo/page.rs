//! The table as text, as Markdown and as JSON.

use std::{fmt::Write as _, io};

use serde_json::{Value, json};

use super::table::{Row, Table, Verdict};

/// The generated part of the page stands between these.
const BEGIN: &str = "<!-- made by `cargo xtask zoo --record` -->";
const END: &str = "<!-- end -->";

/// The columns of each kind.
const KINDS: [(&str, &str); 2] = [("async", "Tasks"), ("threads", "Threads")];

/// The tools in the order of their columns: those of `kind` that have a test.
fn tools(table: &Table, kind: &str) -> Vec<String> {
    let mut tools: Vec<String> = Vec::new();
    for row in table.rows.iter().filter(|row| row.specimen.kind == kind) {
        // The program lists them in one order.
        for tool in row.specimen.tools.iter().filter(|tool| row.seen.contains_key(*tool)) {
            if !tools.contains(tool) {
                tools.push(tool.clone());
            }
        }
    }
    tools
}

fn symbol(row: &Row, tool: &str) -> &'static str {
    match row.seen.get(tool).map(|pair| pair.verdict()) {
        Some(Verdict::Found) => "✓",
        Some(Verdict::Hangs) => "∞",
        Some(Verdict::Missed) => "–",
        Some(Verdict::FalseAlarm) => "✗",
        None => "",
    }
}

/// For a terminal.
#[must_use]
pub fn text(table: &Table) -> String {
    let mut text = String::new();
    for (kind, _) in KINDS {
        let tools = tools(table, kind);
        for row in table.rows.iter().filter(|row| row.specimen.kind == kind) {
            let _ = write!(text, "{:<32}", row.specimen.name);
            for tool in &tools {
                let _ = write!(text, " {tool} {:<2}", symbol(row, tool));
            }
            text.push('\n');
        }
        for tool in &tools {
            let score = table.score(tool, Some(kind));
            let _ = writeln!(
                text,
                "{kind}: {tool}: {} of {} found, {} hang, {} false alarms",
                score.found, score.of, score.hangs, score.false_alarms
            );
        }
    }
    text
}

/// For the site.
#[must_use]
pub fn markdown(table: &Table, versions: &[String]) -> String {
    let mut page = format!("\n{}; at most {} s a test.\n", versions.join(", "), table.limit);
    for (kind, title) in KINDS {
        let tools = tools(table, kind);
        if tools.is_empty() {
            continue;
        }
        let _ = writeln!(page, "\n## {title}\n");
        let _ = writeln!(page, "| specimen | {} | what goes wrong | seen in |", tools.join(" | "));
        let _ = writeln!(page, "|---|{}---|---|", ":-:|".repeat(tools.len()));
        for row in table.rows.iter().filter(|row| row.specimen.kind == kind) {
            let cells: Vec<_> = tools.iter().map(|tool| symbol(row, tool)).collect();
            let specimen = &row.specimen;
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | [{}]({}) |",
                specimen.name,
                cells.join(" | "),
                specimen.about.replace('|', "\\|"),
                specimen.source.text,
                specimen.source.url
            );
        }
        let sum = |of: fn(super::table::Score) -> String| {
            let cells: Vec<_> =
                tools.iter().map(|tool| of(table.score(tool, Some(kind)))).collect();
            cells.join(" | ")
        };
        let found = sum(|score| format!("**{}**", score.found));
        let hangs = sum(|score| score.hangs.to_string());
        let of = sum(|score| score.of.to_string());
        let _ = writeln!(page, "| **found** | {found} | | |");
        let _ = writeln!(page, "| hang | {hangs} | | |");
        let _ = writeln!(page, "| of | {of} | | |");
    }
    page
}

/// For whoever wants to count again.
#[must_use]
pub fn json(table: &Table, versions: &[String]) -> Value {
    let row = |row: &Row| {
        let specimen = &row.specimen;
        json!({
            "name": specimen.name,
            "kind": specimen.kind,
            "source": specimen.source,
            "about": specimen.about,
            "seen": row.seen,
        })
    };
    json!({
        "versions": versions,
        "limit_seconds": table.limit,
        "specimens": table.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// The page with its generated part replaced.
///
/// # Errors
/// When the page has no place for it.
pub fn insert(page: &str, generated: &str) -> io::Result<String> {
    let parts =
        page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(io::Error::other(format!("the page has no place for the table: {BEGIN}")));
    };
    Ok(format!("{before}{BEGIN}\n{generated}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::table::{Seen, tests::row},
        *,
    };

    fn table() -> Table {
        use Seen::{Hangs, Reported, Silent};
        let rows = vec![
            row("one", &[("ours", Reported, Silent), ("peer", Hangs, Silent)]),
            row("two", &[("ours", Silent, Silent), ("peer", Reported, Reported)]),
        ];
        Table { rows, limit: 60 }
    }

    #[test]
    fn each_verdict_has_a_symbol_of_its_own() {
        let page = markdown(&table(), &["rustc 1.0".into()]);
        let line = "| `one` | ✓ | ∞ | goes wrong | [a/b#1](https://example.com/1) |";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("| `two` | – | ✗ |"), "{page}");
        assert!(page.contains("| **found** | **1** | **0** | | |"), "{page}");
        assert!(page.contains("| hang | 0 | 1 | | |"), "{page}");
        assert!(!page.contains("Threads"), "nothing of that kind");
    }

    #[test]
    fn only_the_generated_part_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = insert(&page, "new").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert!(insert("no place", "new").is_err());
    }
}
