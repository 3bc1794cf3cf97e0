//! The plots and tables of the docs are those of the runs.

use super::{
    fairness,
    limits::{ADAPTIVE, WAYS, Way},
    plot::svg,
    report::Report,
    scenarios::{self, Scenario},
    world::run,
};
use std::{env, fmt::Write, fs, path::PathBuf};

/// In the environment, has the files written in place of looked at.
const WRITE: &str = "TIDEGATE_WRITE";
const SEED: u64 = 1;
const BEGIN: &str = "<!-- simulated: written by the tests of tidegate-bulkhead -->\n";
const END: &str = "<!-- /simulated -->\n";

fn docs(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/src").join(file)
}

/// Whatever a checkout makes of the ends of lines.
fn read(file: &str) -> String {
    let text = fs::read_to_string(docs(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.replace("\r\n", "\n")
}

fn check(file: &str, text: &str) {
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(docs(file).parent().unwrap()).unwrap();
        fs::write(docs(file), text).unwrap();
    }
    assert!(read(file) == text, "docs/src/{file} is of other runs: run this test with {WRITE}=1");
}

fn plot(scenario: &Scenario, most: u64, ways: &[Way]) {
    let reports: Vec<Report> = ways.iter().map(|way| run(scenario, *way, SEED)).collect();
    let runs: Vec<(Way, &Report)> = ways.iter().copied().zip(&reports).collect();
    check(&format!("adaptive-limits/{}.svg", scenario.name), &svg(scenario, most, &runs));
}

/// A table of the scenarios by the ways.
fn table(rows: &[(Way, Vec<Report>)], cell: impl Fn(Way, &Report) -> String) -> String {
    let mut table = String::from("| limit |");
    for scenario in scenarios::all() {
        write!(table, " {} |", scenario.name).unwrap();
    }
    writeln!(table, "\n|---|{}", "--:|".repeat(scenarios::all().len())).unwrap();
    for (way, reports) in rows {
        write!(table, "| {} |", way.name()).unwrap();
        for report in reports {
            write!(table, " {} |", cell(*way, report)).unwrap();
        }
        table.push('\n');
    }
    table
}

fn seconds(time: Option<f64>) -> String {
    time.map_or_else(|| "never".into(), |time| format!("{time:.1} s"))
}

fn tables() -> String {
    let of = |way| scenarios::all().iter().map(|scenario| run(scenario, way, SEED)).collect();
    let rows: Vec<(Way, Vec<Report>)> = WAYS.iter().map(|way| (*way, of(*way))).collect();
    let goodput = table(&rows, |_, report| format!("{:.0} %", report.goodput() * 100.0));
    let latency =
        table(&rows, |_, report| format!("{} / {}", report.latency(500), report.latency(990)));
    let most = table(&rows, |way, report| match way {
        Way::None => String::new(),
        _ => report.most().to_string(),
    });
    let mut found = String::from(
        "| limit | after a step | after health checks | Jain's index |\n|---|--:|--:|--:|\n",
    );
    for (way, reports) in
        rows.iter().filter(|(way, _)| ADAPTIVE.contains(way) || *way == Way::Naive)
    {
        let [step, checks] =
            [&reports[3], &reports[7]].map(|report| report.convergence(way.most()));
        let index = fairness::of_two(*way, SEED);
        let (name, step, checks) = (way.name(), seconds(step), seconds(checks));
        writeln!(found, "| {name} | {step} | {checks} | {index:.2} |").unwrap();
    }
    format!(
        "Goodput, of what an ideal server with callers that know would have done:\n\n{goodput}\n\
         Latency of what was let in, median / 99 of 100, in milliseconds:\n\n{latency}\n\
         The highest limit, where 20 workers need 20 to 30:\n\n{most}\n\
         Time to find the right limit, and how two clients share, of which one came later:\n\n{found}"
    )
}

#[test]
fn the_tables_of_the_docs_are_up_to_date() {
    let page = read("adaptive-limits.md");
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    check("adaptive-limits.md", &format!("{before}{BEGIN}\n{}\n{END}{after}", tables()));
}

#[test]
fn the_plots_of_the_docs_are_up_to_date() {
    let ways = [Way::TooHigh, Way::Aimd, Way::Vegas, Way::Gradient2, Way::Naive];
    plot(&scenarios::mild(), 500, &ways);
    plot(&scenarios::step(), 400, &ways);
    plot(&scenarios::drift(), 300, &ways);
    plot(&scenarios::bursts(), 100, &ways[1..4]);
    plot(&scenarios::checks(), 200, &ways[1..]);
}
