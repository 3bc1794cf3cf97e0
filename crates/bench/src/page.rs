//! The site's page of benchmarks, made from the recorded results.

use serde_json::Value;
use std::{fmt::Write as _, fs, path::Path};

const INTRODUCTION: &str = "\
# Benchmarks

This page is made by `cargo xtask bench --record` from `docs/data/bench`. Each table is one run on one
machine, with all contenders in turn, round after round. A row is the cost of ours divided by that of
the peer: below 1 is cheaper. The machine is small and shared, so single times mean nothing, and only
such ratios are kept. Every contender returns how much work it did, and they must agree. A row against
`each` is no ratio: it is what one of ours takes.
";

/// Writes `docs/src/benchmarks.md` from the results below `data`.
pub(crate) fn write(data: &Path) {
    let mut page = INTRODUCTION.to_owned();
    let mut files: Vec<_> =
        fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "json")) {
        section(&mut page, &serde_json::from_slice(&fs::read(file).unwrap()).unwrap());
    }
    fs::write(data.join("../../src/benchmarks.md"), page).unwrap();
}

fn section(page: &mut String, result: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().replace('|', "\\|");
    let machine = &result["machine"];
    let _ = writeln!(page, "\n## {}\n", text(&result["area"]));
    let _ = writeln!(
        page,
        "{}, {} cores, {}, {}.\n",
        text(&machine["cpu"]),
        machine["cores"],
        text(&machine["kernel"]),
        text(&result["rustc"])
    );
    page.push_str("| operation | ours / peer | of | median | minimum | target |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for row in result["rows"].as_array().into_iter().flatten() {
        let target = row["target"].as_f64().map_or("-".into(), |target| {
            let met = if row["met"] == true { "met" } else { "missed" };
            format!("at most {target:.2}, {met}")
        });
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {target} |",
            text(&row["op"]),
            text(&row["peer"]),
            text(&row["unit"]),
            row["ratio_median"],
            row["ratio_min"]
        );
    }
}
