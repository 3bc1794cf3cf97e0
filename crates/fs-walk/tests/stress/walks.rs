//! Walkers, a tree that changes, cancellations and dropped streams, all at once: run for longer by
//! `cargo xtask stress`.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tidegate_core::CancelToken;
use tidegate_fs_walk::{Entry, Flow, Walk, WalkError, WalkErrorKind};
use tidegate_testkit::{Disturbed, LeakGuard, Rng, Seed, Stress, disturb};

use crate::child::in_child;
use crate::tree::{ORDERS, block_on, make, temp};

const DIRS: u64 = 12;

/// Disturbs all threads, at each lock and atomic of the crate where the build has points there.
fn disturbed() -> Disturbed {
    #[cfg(tidegate_stress)]
    tidegate_core::sync::inject::with(tidegate_testkit::point_at);
    disturb(Seed::from_env_or_new("disturbed"))
}

struct Round {
    token: CancelToken,
    leaks: Mutex<Option<LeakGuard>>,
}

#[test]
fn stress_walkers_race_with_a_changing_tree_a_stop_and_dropped_streams() {
    in_child(
        "walks::stress_walkers_race_with_a_changing_tree_a_stop_and_dropped_streams",
        |_| {},
        || {
            let dir = temp();
            for i in 0..DIRS {
                make(dir.path(), &format!("{i}/a/b/file"));
            }
            let _disturbed = disturbed();
            Stress::new("walkers_of_a_changing_tree").run(
                |_| {
                    let leaks = LeakGuard::process().threads_named("tidegate-walk");
                    let leaks = Mutex::new(Some(leaks.fds_under(dir.path())));
                    Round { token: CancelToken::new(), leaks }
                },
                |round, ctx| {
                    ctx.point();
                    match ctx.index() {
                        0 => change(dir.path(), ctx.rng(), &round.token),
                        _ => walk(dir.path(), ctx.rng(), &round.token),
                    }
                },
                |round, _| {
                    let leaks = round.leaks.lock().expect("no panic").take().expect("once");
                    // A thread that was joined is listed for a moment more.
                    leaks.verify_blocking(Duration::from_secs(5)).map_err(|leak| leak.to_string())
                },
            );
        },
    );
}

fn change(root: &Path, rng: &mut Rng, token: &CancelToken) {
    for _ in 0..rng.below(8) {
        let path = root.join(rng.below(DIRS).to_string());
        match rng.below(4) {
            0 => drop(fs::remove_dir_all(&path)),
            1 => drop(fs::rename(&path, root.join(rng.below(DIRS).to_string()))),
            2 => drop(fs::write(path.join(format!("a/{}", rng.below(9))), b"x")),
            _ => drop(fs::create_dir_all(path.join("a/b/c"))),
        }
    }
    if rng.one_in(3) {
        token.cancel("the round is over");
    }
}

fn walk(root: &Path, rng: &mut Rng, token: &CancelToken) {
    let mut number = |bound: u64| usize::try_from(rng.below(bound)).expect("few");
    let walk = Walk::new(root).threads(1 + number(4)).order(ORDERS[number(2)]);
    let walk = walk.max_open_dirs(number(5)).window(number(30)).cancel(token.clone());
    match number(4) {
        0 => {
            let quit_at = number(60);
            let seen = AtomicUsize::new(0);
            let result = walk.for_each(|entry| {
                if let Err(error) = entry {
                    assert!(is_harmless(&error), "{error}");
                }
                let seen = seen.fetch_add(1, Ordering::Relaxed);
                if seen == quit_at { Flow::Quit } else { Flow::Continue }
            });
            assert!(result.is_ok() || token.is_cancelled());
        }
        1 => {
            let all: Vec<_> = block_on(walk.stream().collect());
            let (last, others) = all.split_last().expect("the root, or an error");
            assert!(others.iter().all(is_entry_or_harmless), "{all:?}");
            assert!(is_entry_or_harmless(last) || token.is_cancelled(), "{last:?}");
        }
        way => block_on(async {
            let mut stream = walk.stream();
            let mut held = Vec::new();
            for _ in 0..number(40) {
                held.extend(stream.next().await);
            }
            if way == 2 {
                drop(stream);
            } else {
                stream.close().await;
            }
            // Entries outlive their walk: they open their file, or say why not.
            for entry in held.into_iter().flatten() {
                drop(entry.open());
            }
        }),
    }
}

fn is_harmless(error: &WalkError) -> bool {
    matches!(error.kind(), WalkErrorKind::Vanished)
}

fn is_entry_or_harmless(item: &Result<Entry, WalkError>) -> bool {
    item.as_ref().map_or_else(is_harmless, |_| true)
}
