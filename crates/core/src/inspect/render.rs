//! A snapshot for programs: JSON, and Graphviz's language.

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
        let mut out = Object::default();
        out.list("work", self.work(), work_to_json);
        out.list("resources", self.resources(), resource_to_json);
        out.list("deadlocks", &self.deadlocks(), |deadlock| {
            list(deadlock.links(), |link| link.work().to_string())
        });
        out.end()
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
            let label = Quoted(&format!("{}\n{}", work.name(), work.doing()), Escape::Dot);
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
            let (key, label) = (resource.key, Quoted(&text, Escape::Dot));
            line(&mut out, format_args!("r{key} [label={label}, shape=ellipse];"));
            for holder in resource.holders().iter().flatten() {
                line(&mut out, format_args!("r{key} -> w{holder} [style=bold];"));
            }
        }
        out.push_str("}\n");
        out
    }
}

fn line(out: &mut String, line: fmt::Arguments<'_>) {
    let written = writeln!(out, "  {line}");
    debug_assert!(written.is_ok(), "a string takes everything");
}

fn work_to_json(work: &Work) -> String {
    let mut out = Object::default();
    out.text("name", work.name().as_str());
    out.text("kind", kind(work.kind()));
    out.text("state", &work.state().to_string());
    out.raw("parent", work.parent());
    place(&mut out, work.location());
    out.time("age", work.age());
    out.time("running_for", work.running_for());
    if work.polls() > 0 {
        out.raw("polls", Some(work.polls()));
        out.time("busy", Some(work.busy()));
    }
    out.time("last_poll", work.last_poll());
    if work.is_aborting() {
        out.raw("aborting", Some(true));
    }
    if !work.waits().is_empty() {
        out.list("waits", work.waits(), wait_to_json);
    }
    out.raw("live", work.live());
    out.time("remaining", work.remaining().and_then(Budget::duration));
    for (name, cause) in [("stop_cause", work.stop_cause()), ("cause", work.cause())] {
        if let Some(cause) = cause {
            out.text(name, &cause.to_string());
        }
    }
    out.end()
}

fn wait_to_json(wait: &Wait) -> String {
    let mut out = Object::default();
    out.text("label", wait.label());
    place(&mut out, wait.location());
    out.time("lasts", wait.lasts());
    out.raw("resource", wait.resource);
    out.end()
}

fn resource_to_json(resource: &ResourceInfo) -> String {
    let mut out = Object::default();
    out.raw("id", Some(resource.key));
    out.text("kind", resource.kind());
    out.text("name", resource.name().as_str());
    out.raw("owner", resource.owner());
    place(&mut out, resource.location());
    let mut details = Object::default();
    for (name, value) in resource.details() {
        details.text(name, value);
    }
    out.raw("details", Some(details.end()));
    out.list("holders", resource.holders(), |holder| {
        holder.map_or_else(|| "null".to_owned(), |holder| holder.to_string())
    });
    out.end()
}

fn kind(kind: WorkKind) -> &'static str {
    match kind {
        WorkKind::Task => "task",
        WorkKind::Blocking => "blocking",
        WorkKind::Scope => "scope",
    }
}

fn place(out: &mut Object, at: &Location<'_>) {
    out.text("at", &format!("{}:{}", at.file(), at.line()));
}

fn list<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    let items: Vec<_> = items.iter().map(write).collect();
    format!("[{}]", items.join(","))
}

/// A JSON object that is being written.
#[derive(Default)]
struct Object(String);

impl Object {
    fn raw(&mut self, name: &str, value: Option<impl Display>) {
        let Some(value) = value else { return };
        let before = if self.0.is_empty() { '{' } else { ',' };
        let written = write!(self.0, "{before}{}:{value}", Quoted(name, Escape::Json));
        debug_assert!(written.is_ok(), "a string takes everything");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, Some(Quoted(value, Escape::Json)));
    }

    fn time(&mut self, name: &str, value: Option<Duration>) {
        self.raw(name, value.map(|time| time.as_secs_f64()));
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&T) -> String) {
        self.raw(name, Some(list(items, write)));
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    Json,
    /// Knows no escapes but those of quotes, backslashes and ends of lines.
    Dot,
}

/// A string in quotes.
struct Quoted<'a>(&'a str, Escape);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if !c.is_control() => f.write_char(c)?,
                c if self.1 == Escape::Json => write!(f, "\\u{:04x}", u32::from(c))?,
                _ => f.write_char(' ')?,
            }
        }
        f.write_char('"')
    }
}
