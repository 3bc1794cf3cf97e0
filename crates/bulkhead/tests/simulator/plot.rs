//! Runs as pictures.

use super::{limits::Way, report::Report, scenarios::Scenario, world::TICK};
use std::fmt::Write;

const WIDTH: u64 = 720;
/// Of a panel.
const HEIGHT: u64 = 130;
const LEFT: u64 = 50;
const TOP: u64 = 28;
const GAP: u64 = 34;

/// What is to be seen in a panel, and how far it goes.
struct Panel {
    title: &'static str,
    most: u64,
    value: fn(&Report, usize) -> u64,
}

/// Two ticks are a second.
fn seconds(report: &Report, second: usize, mean: impl Fn(usize) -> u64) -> u64 {
    let ticks = second * 2..(second * 2 + 2).min(report.ticks.len());
    let n = ticks.len().max(1) as u64;
    ticks.map(mean).sum::<u64>() / n
}

fn panels(most: u64) -> [Panel; 3] {
    [
        Panel {
            title: "limit",
            most,
            value: |report, second| seconds(report, second, |n| report.ticks[n].limit.into()),
        },
        Panel {
            title: "mean latency, ms",
            most: 1000,
            value: |report, second| {
                seconds(report, second, |n| {
                    let all = &report.ticks[n].latencies;
                    all.iter().sum::<u64>() / 1_000_000 / all.len().max(1) as u64
                })
            },
        },
        Panel {
            title: "calls in time, 1/s",
            most: 600,
            value: |report, second| seconds(report, second, |n| report.ticks[n].good * 2),
        },
    ]
}

fn color(way: Way) -> &'static str {
    match way {
        Way::Aimd => "#d08700",
        Way::Vegas => "#1f9d55",
        Way::Gradient2 => "#2878d0",
        Way::Naive => "#d0312d",
        Way::None | Way::Right | Way::TooHigh | Way::TooLow => "#888888",
    }
}

/// Three panels, one above the other, by the time in seconds.
pub(super) fn svg(scenario: &Scenario, most: u64, runs: &[(Way, &Report)]) -> String {
    let panels = panels(most);
    let height = TOP + panels.len() as u64 * (HEIGHT + GAP);
    let width = LEFT + WIDTH + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#888\">\n\
         <title>{}</title>\n",
        scenario.title
    );
    for (n, (way, _)) in (0..).zip(runs) {
        let x = LEFT + n * 140;
        let (color, name) = (color(*way), way.name());
        writeln!(svg, "<text x=\"{x}\" y=\"14\" fill=\"{color}\">{name}</text>").unwrap();
    }
    for (n, panel) in (0..).zip(&panels) {
        let top = TOP + n * (HEIGHT + GAP);
        panel.draw(&mut svg, top, scenario.seconds, runs);
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn draw(&self, svg: &mut String, top: u64, seconds: u64, runs: &[(Way, &Report)]) {
        let Self { title, most, .. } = *self;
        let (right, bottom) = (LEFT + WIDTH, top + HEIGHT);
        writeln!(
            svg,
            "<path d=\"M{LEFT},{top}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>\n\
             <text x=\"{}\" y=\"{}\">{title}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most}</text>\n\
             <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
            LEFT + 6,
            top + 12,
            LEFT - 4,
            top + 10,
            LEFT - 4,
        )
        .unwrap();
        for second in (0..=seconds).step_by(10) {
            let (x, y) = (LEFT + WIDTH * second / seconds, bottom + 14);
            writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{second}</text>")
                .unwrap();
        }
        for (way, report) in runs {
            let points = (0..seconds).map(|second| {
                let value = (self.value)(report, second as usize).min(most);
                let x = LEFT + WIDTH * (second * 2 + 1) / (seconds * 2);
                format!("{x},{}", bottom - HEIGHT * value / most)
            });
            let (points, color) = (points.collect::<Vec<_>>().join(" "), color(*way));
            writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>"
            )
            .unwrap();
        }
    }
}

const _: () = assert!(TICK * 2 == 1_000_000_000, "two ticks are a second");
