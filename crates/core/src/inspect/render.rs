//! A snapshot for programs: JSON, and Graphviz's language.
//!
//! All is written into one string: of a hundred thousand tasks, small strings that are put
//! together would take several times as long as the look at them.

use super::{Deadlock, Link, ResourceInfo, Snapshot, Wait, Work};
use crate::{Budget, WorkKind};
use std::{
    fmt::{self, Display, Write},
    panic::Location,
    time::Duration,
};

impl Snapshot {
    /// The snapshot as one JSON object. Times are seconds; what is not known is left out; numbers
    /// that stand for work are indices into `work`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, scope};
    ///
    /// let json = scope("server", async |cx: Cx<Infallible>| Ok(cx.tree().to_json()));
    /// let json = json.await.unwrap();
    /// assert!(json.starts_with(r#"{"work":[{"name":"server","kind":"scope","state":"running","#));
    /// # }
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Json(String::with_capacity(self.work().len() * WORK_LEN));
        out.object(|out| {
            out.list("work", self.work(), write_work);
            out.list("resources", self.resources(), write_resource);
            out.list("deadlocks", &self.deadlocks(), |out, deadlock| {
                out.items(deadlock.links(), |out, link| out.number(link.work()));
            });
        });
        out.0
    }

    /// The snapshot as a graph in the DOT language: `dot -Tsvg` draws it. A line leads from each
    /// scope to what is in it, a dashed one from work to the resource it waits for, and a
    /// bold one from a resource to who holds it; what is deadlocked is red.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, scope};
    ///
    /// let dot = scope("server", async |cx: Cx<Infallible>| Ok(cx.tree().to_dot()));
    /// assert!(dot.await.unwrap().starts_with("digraph tidegate {"));
    /// # }
    /// ```
    #[must_use]
    pub fn to_dot(&self) -> String {
        let deadlocks = self.deadlocks();
        let stuck: Vec<_> = deadlocks.iter().flat_map(Deadlock::links).map(Link::work).collect();
        let mut out = String::from("digraph tidegate {\n  rankdir=LR;\n  node [shape=box];\n");
        for (index, work) in self.work().iter().enumerate() {
            let color = if stuck.contains(&index) { ", color=red" } else { "" };
            let style = if work.kind() == WorkKind::Scope { ", style=rounded" } else { "" };
            let label = DotText(&format!("{}\n{}", work.name(), work.doing())).to_string();
            line(&mut out, format_args!("w{index} [label={label}{style}{color}];"));
            if let Some(parent) = work.parent() {
                line(&mut out, format_args!("w{parent} -> w{index};"));
            }
            for key in work.waits().iter().filter_map(|wait| wait.resource) {
                line(&mut out, format_args!("w{index} -> r{key} [style=dashed];"));
            }
        }
        for resource in self.resources() {
            let text = format!("{} {}", resource.kind(), resource.name());
            let (key, label) = (resource.key, DotText(&text));
            line(&mut out, format_args!("r{key} [label={label}, shape=ellipse];"));
            for holder in resource.holders().iter().flatten() {
                line(&mut out, format_args!("r{key} -> w{holder} [style=bold];"));
            }
        }
        out.push_str("}\n");
        out
    }
}

/// How long a piece of work is, roughly, so that the text is seldom copied as it grows.
const WORK_LEN: usize = 160;

fn line(out: &mut String, line: fmt::Arguments<'_>) {
    let written = writeln!(out, "  {line}");
    debug_assert!(written.is_ok(), "a string takes everything");
}

fn write_work(out: &mut Json, work: &Work) {
    out.object(|out| {
        out.text("name", work.name().as_str());
        out.text("kind", kind(work.kind()));
        out.text("state", work.state().as_str());
        out.count("parent", work.parent());
        out.place(work.location());
        out.time("age", work.age());
        out.time("running_for", work.running_for());
        if work.polls() > 0 {
            out.count("polls", Some(work.polls() as usize));
            out.time("busy", Some(work.busy()));
        }
        out.time("last_poll", work.last_poll());
        if work.is_aborting() {
            out.name("aborting");
            out.0.push_str("true");
        }
        if !work.waits().is_empty() {
            out.list("waits", work.waits(), write_wait);
        }
        out.count("live", work.live());
        out.time("remaining", work.remaining().and_then(Budget::duration));
        for (name, cause) in [("stop_cause", work.stop_cause()), ("cause", work.cause())] {
            if let Some(cause) = cause {
                out.text(name, &cause.to_string());
            }
        }
    });
}

fn write_wait(out: &mut Json, wait: &Wait) {
    out.object(|out| {
        out.text("label", wait.label());
        out.place(wait.location());
        out.time("lasts", wait.lasts());
        out.count("resource", wait.resource);
    });
}

fn write_resource(out: &mut Json, resource: &ResourceInfo) {
    out.object(|out| {
        out.count("id", Some(resource.key));
        out.text("kind", resource.kind());
        out.text("name", resource.name().as_str());
        out.count("owner", resource.owner());
        out.place(resource.location());
        out.name("details");
        out.object(|out| {
            for (name, value) in resource.details() {
                out.text(name, value);
            }
        });
        out.list("holders", resource.holders(), |out, holder| match holder {
            Some(holder) => out.number(*holder),
            None => out.0.push_str("null"),
        });
    });
}

fn kind(kind: WorkKind) -> &'static str {
    match kind {
        WorkKind::Task => "task",
        WorkKind::Blocking => "blocking",
        WorkKind::Scope => "scope",
    }
}

/// JSON that is being written.
struct Json(String);

impl Json {
    fn object(&mut self, write: impl FnOnce(&mut Self)) {
        self.0.push('{');
        write(self);
        self.0.push('}');
    }

    fn items<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.0.push('[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(']');
    }

    /// The name of what comes next in an object.
    fn name(&mut self, name: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.quoted(name);
        self.0.push(':');
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.name(name);
        self.items(items, write);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    fn count(&mut self, name: &str, value: Option<usize>) {
        if let Some(value) = value {
            self.name(name);
            self.number(value);
        }
    }

    fn place(&mut self, at: &Location<'_>) {
        self.name("at");
        self.0.push('"');
        self.escaped(at.file());
        self.0.push(':');
        self.number(at.line() as usize);
        self.0.push('"');
    }

    /// Seconds, without zeros at the end.
    fn time(&mut self, name: &str, value: Option<Duration>) {
        let Some(time) = value else { return };
        self.name(name);
        let written = write!(self.0, "{}", time.as_secs());
        debug_assert!(written.is_ok(), "a string takes everything");
        let mut digit = 100_000_000;
        let mut rest = time.subsec_nanos();
        if rest > 0 {
            self.0.push('.');
        }
        while rest > 0 {
            self.0.push(char::from_digit(rest / digit, 10).unwrap_or('0'));
            rest %= digit;
            digit /= 10;
        }
    }

    fn number(&mut self, number: usize) {
        let written = write!(self.0, "{number}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }

    fn quoted(&mut self, text: &str) {
        self.0.push('"');
        self.escaped(text);
        self.0.push('"');
    }

    fn escaped(&mut self, text: &str) {
        // Most need nothing. All that do are ASCII.
        let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0x7f;
        if text.bytes().all(is_plain) {
            return self.0.push_str(text);
        }
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                c if !c.is_control() => self.0.push(c),
                c => {
                    let written = write!(self.0, "\\u{:04x}", u32::from(c));
                    debug_assert!(written.is_ok(), "a string takes everything");
                }
            }
        }
    }
}

/// A string in quotes. Graphviz knows no escapes but those of quotes, backslashes and ends of
/// lines.
struct DotText<'a>(&'a str);

impl Display for DotText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;

    fn json(write: impl FnOnce(&mut Json)) -> String {
        let mut out = Json(String::new());
        write(&mut out);
        out.0
    }

    #[test]
    fn times_are_seconds_as_short_as_they_can_be() {
        let time = |nanos| json(|out| out.time("t", Some(Duration::from_nanos(nanos))));
        assert_eq!(time(0), r#","t":0"#);
        assert_eq!(time(2_000_000_000), r#","t":2"#);
        assert_eq!(time(980_000_000), r#","t":0.98"#);
        assert_eq!(time(60_020_000_001), r#","t":60.020000001"#);
        assert_eq!(json(|out| out.time("t", None)), "");
    }

    #[test]
    fn text_is_escaped_where_it_must_be() {
        assert_eq!(json(|out| out.quoted("plain ü")), "\"plain ü\"");
        assert_eq!(
            json(|out| out.quoted("a\"b\\c\nd\te\u{7f}\u{85}")),
            r#""a\"b\\c\nd\u0009e\u007f\u0085""#
        );
        assert_eq!(DotText("a\"b\nc\td").to_string(), r#""a\"b\nc d""#);
    }

    #[test]
    fn objects_and_lists_have_commas_between_and_nowhere_else() {
        let text = json(|out| {
            out.object(|out| {
                out.list("none", &[0; 0], |out, n| out.number(*n));
                out.list("some", &[1, 2], |out, n| out.number(*n));
                out.name("empty");
                out.object(|_| ());
                out.count("n", Some(3));
                out.count("not", None);
            });
        });
        assert_eq!(text, r#"{"none":[],"some":[1,2],"empty":{},"n":3}"#);
    }
}
