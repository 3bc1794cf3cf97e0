//! Work that is done in a task of its own, whose handle nobody keeps.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use std::sync::{Arc, Mutex};
use tokio::task::yield_now;

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "detached-panic",
    kind: Kind::Async,
    source: Source::GitHub("getnora-io/nora", 315),
    about: "a task that fills a cache beside the answer panics, and nobody hears of it",
    tests: everywhere!(scenario),
};

type Cache = Arc<Mutex<Vec<(String, usize)>>>;

fn answer(package: &str, cache: &Cache, variant: Variant) -> String {
    let (cache, name) = (Arc::clone(cache), package.to_owned());
    tokio::spawn(async move {
        // The version is behind the last `@`, if there is one.
        let at = name.rfind('@');
        let at = if variant.has_bug() { at.unwrap() } else { at.unwrap_or(name.len()) };
        cache.lock().unwrap().push((name, at));
    });
    format!("{package}.tar")
}

/// The answers are right.
async fn scenario(variant: Variant) {
    let cache = Cache::default();
    for package in ["a@1", "b"] {
        assert_eq!(answer(package, &cache, variant), format!("{package}.tar"));
        yield_now().await;
    }
}
