//! A counter that is read, changed and written back.

use crate::{
    peers::plain,
    specimen::{Kind, Source, Specimen, Tool, Variant},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};
use tidegate_testkit::Stress;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "lost-update",
    kind: Kind::Threads,
    source: Source::Page("CWE-362", "https://cwe.mitre.org/data/definitions/362.html"),
    about: "two threads read a counter before either writes it: one of them counts for nothing",
    tests: &[(Tool::Ours, ours), (Tool::Plain, |variant| plain(|| scenario(variant)))],
};

fn count(counter: &AtomicUsize, variant: Variant, point: impl FnOnce()) {
    if variant.has_bug() {
        let before = counter.load(SeqCst);
        point();
        counter.store(before + 1, SeqCst);
    } else {
        point();
        counter.fetch_add(1, SeqCst);
    }
}

fn ours(variant: Variant) {
    Stress::new("a counter counts all").run(
        |_| AtomicUsize::new(0),
        |counter, ctx| count(counter, variant, || ctx.point()),
        |counter, threads| match counter.load(SeqCst) {
            sum if sum == threads => Ok(()),
            sum => Err(format!("{sum} of {threads}")),
        },
    );
}

fn scenario(variant: Variant) {
    let counter = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| count(&counter, variant, || ()));
        }
    });
    assert_eq!(counter.load(SeqCst), 2);
}
