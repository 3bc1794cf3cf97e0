//! Printing the ratios, and writing them where the site finds them.

use crate::{Plan, contest::Ratio};
use serde_json::json;
use std::{fmt::Write as _, fs, path::Path, process::Command};

/// A table in Markdown.
pub(crate) fn table(area: &str, ratios: &[Ratio]) -> String {
    let mut out = format!("\n## {area}\n\n");
    out.push_str("| operation | ours / peer | of | median | minimum | target | met |\n");
    out.push_str("|---|---|---|---|---|---|---|\n");
    for ratio in ratios {
        let target = ratio.target.map_or("-".into(), |target| format!("<= {target:.2}"));
        let met = match ratio.target {
            None => "-",
            Some(_) if ratio.met() => "yes",
            Some(_) => "NO",
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.3} | {:.3} | {target} | {met} |",
            ratio.op, ratio.peer, ratio.unit, ratio.median, ratio.min
        );
    }
    out
}

/// Writes `docs/data/bench/AREA.json`.
pub(crate) fn write(area: &str, ratios: &[Ratio], plan: Plan) {
    let rows: Vec<_> = ratios
        .iter()
        .map(|ratio| {
            json!({
                "op": ratio.op,
                "peer": ratio.peer,
                "unit": ratio.unit,
                "ratio_median": round(ratio.median),
                "ratio_min": round(ratio.min),
                "target": ratio.target,
                "met": ratio.met(),
                "work": ratio.work,
                "rounds": ratio.rounds,
            })
        })
        .collect();
    let result = json!({
        "area": area,
        "quick": plan.quick,
        "machine": { "cpu": cpu_model(), "cores": cores(), "kernel": output("uname", &["-sr"]) },
        "rustc": output("rustc", &["--version"]),
        "rows": rows,
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data/bench");
    fs::create_dir_all(&path).unwrap();
    let text = serde_json::to_string_pretty(&result).unwrap() + "\n";
    fs::write(path.join(format!("{area}.json")), text).unwrap();
    crate::page::write(&path);
}

fn round(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    line.split(':').nth(1).unwrap_or("unknown").trim().to_owned()
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok();
    output.map_or_else(String::new, |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
