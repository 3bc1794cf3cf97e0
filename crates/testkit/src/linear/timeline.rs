//! Operations drawn as intervals, a line for each client.

use crate::Operation;
use std::collections::HashMap;
use std::fmt;

/// Longer texts are cut.
const LONGEST: usize = 48;

struct Interval {
    client: usize,
    invoked: u64,
    returned: Option<u64>,
    fill: char,
    text: String,
}

/// Draws the operations, each with the character that fills its interval.
pub(super) fn draw<O: fmt::Debug, R: fmt::Debug>(
    f: &mut fmt::Formatter<'_>,
    operations: Vec<(&Operation<O, R>, char)>,
) -> fmt::Result {
    let mut intervals: Vec<_> =
        operations.into_iter().map(|(operation, fill)| interval(operation, fill)).collect();
    intervals.sort_by_key(|interval| (interval.client, interval.invoked));
    let columns = columns(&intervals);
    let end = columns.values().max().map_or(0, |last| *last);
    let names = intervals.iter().map(|interval| interval.client.to_string().len());
    let width = names.max().unwrap_or(0);
    for line in lines(intervals) {
        let mut drawn = format!("client {:<width$}  ", line[0].client);
        let margin = drawn.len();
        for interval in line {
            let from = margin + columns[&interval.invoked];
            drawn.extend(std::iter::repeat_n(' ', from.saturating_sub(drawn.chars().count())));
            drawn.push('|');
            drawn.push(interval.fill);
            drawn.push_str(&interval.text);
            let to = margin + interval.returned.map_or(end, |at| columns[&at]);
            let missing = to.saturating_sub(drawn.chars().count());
            drawn.extend(std::iter::repeat_n(interval.fill, missing));
            if interval.returned.is_some() {
                drawn.push('|');
            }
        }
        write!(f, "\n{drawn}")?;
    }
    Ok(())
}

fn interval<O: fmt::Debug, R: fmt::Debug>(operation: &Operation<O, R>, fill: char) -> Interval {
    let mut text = format!("{:?}", operation.op());
    if let Some(ret) = operation.ret() {
        text = format!("{text} -> {ret:?}");
    }
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST - 2).chain("..".chars()).collect();
    }
    let (client, invoked) = (operation.client(), operation.invoked_at());
    Interval { client, invoked, returned: operation.returned_at(), fill, text }
}

/// A column for each invocation and return, in their order and so far apart that the texts fit.
fn columns(intervals: &[Interval]) -> HashMap<u64, usize> {
    let returns = intervals.iter().filter_map(|interval| {
        // The bar and a character on both sides of the text.
        let room = interval.text.chars().count() + 3;
        interval.returned.map(|at| (at, Some((interval.invoked, room))))
    });
    let mut events: Vec<_> =
        intervals.iter().map(|interval| (interval.invoked, None)).chain(returns).collect();
    events.sort_unstable();
    let mut columns = HashMap::new();
    let mut next = 0;
    for (at, text) in events {
        let least = text.map_or(0, |(invoked, room)| columns[&invoked] + room);
        next = least.max(next);
        columns.insert(at, next);
        next += 1;
    }
    columns
}

/// A line for each client, and more for one whose operations overlap, as after one that is open.
fn lines(intervals: Vec<Interval>) -> Vec<Vec<Interval>> {
    let mut lines: Vec<Vec<Interval>> = Vec::new();
    for interval in intervals {
        let fits = |line: &&mut Vec<Interval>| {
            line.last().is_some_and(|last| {
                last.client == interval.client
                    && last.returned.is_some_and(|at| at < interval.invoked)
            })
        };
        match lines.iter_mut().find(fits) {
            Some(line) => line.push(interval),
            None => lines.push(vec![interval]),
        }
    }
    lines
}
