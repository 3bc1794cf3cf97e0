use super::{
    super::fixture::{check_file, found, package, tree, with_members},
    *,
};

#[test]
fn ignored_tests_are_found() {
    assert_eq!(
        check_file(ignored, "#[test]\n#[ignore]\nfn f() {}"),
        ["crates/x/src/a.rs:2: `#[ignore]`: run the test or delete it"]
    );
    assert_eq!(check_file(ignored, "#[ignore = \"slow\"] fn f() {}").len(), 1);
    assert_eq!(check_file(ignored, "mod m { #[cfg_attr(miri, ignore)] fn f() {} }").len(), 1);
    assert_eq!(check_file(ignored, "#[cfg_attr(windows, ignore = \"x\")] fn f() {}").len(), 1);
    assert!(
        check_file(ignored, "#[cfg_attr(miri, ignore = \"opens a socket\")] fn f() {}").is_empty()
    );
    assert!(check_file(ignored, "#[test] fn ignore() {}").is_empty());
}

#[test]
fn unfinished_code_is_found_within_macros_too() {
    assert_eq!(check_file(unfinished, "fn f() { todo!() }").len(), 1);
    assert_eq!(
        check_file(unfinished, "fn f() { select! { _ = a => unimplemented!(\"x\"), } }").len(),
        1
    );
    assert_eq!(check_file(unfinished, "fn f() { std::dbg!(1); }").len(), 1);
    assert!(
        check_file(unfinished, "/// todo!()\nfn todo() { \"todo!()\"; todo != 1; }").is_empty()
    );
}

#[test]
fn plain_loom_is_found_and_ours_is_not() {
    assert_eq!(check_file(plain_loom, "#[cfg(loom)] mod a {}").len(), 1);
    assert_eq!(check_file(plain_loom, "#[cfg(all(test, loom))] mod a {}").len(), 1);
    assert_eq!(check_file(plain_loom, "fn f() { if cfg!(loom) {} }").len(), 1);
    assert!(
        check_file(plain_loom, "#[cfg(all(test, tidegate_loom))] mod a {} use loom::x;").is_empty()
    );
    let dependency = |target: &str| {
        let json =
            serde_json::json!([{"name": "loom", "kind": null, "req": "^0.7", "target": target}]);
        with_members(vec![package("x", &json)], &[])
    };
    assert_eq!(plain_loom(&dependency("cfg(loom)")).len(), 1);
    assert!(plain_loom(&dependency("cfg(tidegate_loom)")).is_empty());
}

#[test]
fn fences_are_found_in_calls_and_imports() {
    assert_eq!(check_file(fences, "fn f() { std::sync::atomic::fence(x); }").len(), 1);
    assert_eq!(check_file(fences, "use core::sync::atomic::{AtomicU8, fence};").len(), 1);
    assert!(check_file(fences, "use std::sync::atomic::AtomicU8; fn fence() {}").is_empty());
}

#[test]
fn core_takes_tasks_and_timers_from_one_place() {
    let check = |path, text| found(&runtime(&tree(&[(path, text)]))).len();
    let scope = "crates/core/src/scope/a.rs";
    assert_eq!(check(scope, "use tokio::{sync::oneshot, time::{Instant, sleep}};"), 1);
    assert_eq!(check(scope, "async fn f() { tokio::time::timeout(d, g()).await; }"), 1);
    assert_eq!(check(scope, "fn f() { tokio::spawn(async {}); }"), 1);
    assert_eq!(check(scope, "use tokio::time::Instant; fn sleep() { rt::sleep(d); }"), 0);
    assert_eq!(check("crates/core/src/rt.rs", "use tokio::time::sleep;"), 0);
    assert_eq!(check("crates/core/src/app/a.rs", "use tokio::time::sleep;"), 0);
    assert_eq!(check("crates/pool/src/a.rs", "use tokio::time::sleep;"), 0);
}

#[test]
fn lints_are_switched_off_with_a_reason() {
    assert_eq!(check_file(reasons, "#[allow(dead_code)] fn f() {}").len(), 1);
    assert_eq!(check_file(reasons, "#![expect(dead_code)]").len(), 1);
    assert_eq!(check_file(reasons, "#[cfg_attr(test, allow(dead_code))] fn f() {}").len(), 1);
    assert!(check_file(reasons, "#[allow(dead_code, reason = \"x\")] fn f() {}").is_empty());
    assert!(check_file(reasons, "#[deny(dead_code)] fn f() {}").is_empty());
}

#[test]
fn manifests_explain_each_group_of_allows() {
    let bad =
        tree(&[("Cargo.toml", "[workspace.lints.clippy]\nfoo = \"warn\"\nbar = \"allow\"\n")]);
    assert_eq!(found(&reasons(&bad)), ["Cargo.toml:3: a comment above must say why"]);
    let good = tree(&[("Cargo.toml", "# Why.\nbar = \"allow\"\nbaz = \"allow\"\n")]);
    assert!(reasons(&good).is_empty());
}

#[test]
fn examples_that_do_not_run_are_found() {
    assert_eq!(check_file(examples, "/// ```no_run\n/// ```\nfn f() {}").len(), 1);
    assert_eq!(check_file(examples, "//! ```rust,ignore\n//! ```").len(), 1);
    assert!(check_file(examples, "/// ```compile_fail\n/// ```\n/// ```\nfn f() {}").is_empty());
    let pages = tree(&[
        ("docs/src/a.md", "```rust,no_run\n```\n"),
        ("README.md", "```text\n```\n"),
        ("CHANGES.md", "```ignore\n```\n"),
    ]);
    assert_eq!(found(&examples(&pages)), ["docs/src/a.md:1: `no_run`: examples run"]);
}

#[test]
fn models_that_stop_early_are_found() {
    assert_eq!(check_file(bounded_models, "fn f() { b.max_permutations = Some(9); }").len(), 1);
    assert_eq!(check_file(bounded_models, "fn f() { b.max_duration = None; }").len(), 1);
    assert!(check_file(bounded_models, "fn f() { b.preemption_bound = Some(2); }").is_empty());
}
