//! Other processes change the tree while it is walked.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use rustix::fs::{CWD, Mode, mkfifoat};
use tidegate_fs_walk::{Entry, Flow, Order, Walk, WalkErrorKind};

use crate::child::wait_until;
use crate::tree::{ORDERS, Random, block_on, make, seed, stream, temp, visit};

async fn entries(walk: &Walk) -> Vec<Entry> {
    walk.stream().map(|entry| entry.expect("readable")).collect().await
}

#[test]
fn a_directory_deleted_after_it_was_listed_has_vanished() {
    for order in ORDERS {
        let dir = temp();
        make(dir.path(), "gone/file");
        make(dir.path(), "here/file");
        let errors = std::sync::Mutex::new(Vec::new());
        // With no window and one thread nothing is read ahead of the visitor.
        let walk = Walk::new(dir.path()).order(order).threads(1).window(0);
        let summary = walk.for_each(|entry| {
            match entry {
                Ok(entry) if entry.file_name() == "gone" => {
                    fs::remove_dir_all(entry.path()).expect("removed");
                }
                Ok(_) => {}
                Err(error) => errors.lock().expect("no panic").push(error),
            }
            Flow::Continue
        });
        let errors = errors.into_inner().expect("no panic");
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert!(matches!(error.kind(), WalkErrorKind::Vanished), "{error}");
        assert_eq!((error.path(), error.depth()), (dir.path().join("gone").as_path(), 1));
        assert_eq!(summary.expect("not cancelled").entries, 4, "{order:?}");
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn trees_that_change_all_the_time_end_with_harmless_errors_only() {
    let seed = seed("races");
    let dir = temp();
    for i in 0..50 {
        make(dir.path(), &format!("{i}/a/b/file"));
    }
    let stop = AtomicBool::new(false);
    let mut walks = 0;
    std::thread::scope(|scope| {
        // Also if an assertion fails: the scope would wait for ever.
        let _stop = SetOnDrop(&stop);
        scope.spawn(|| {
            let mut random = Random::new(seed);
            while !stop.load(Ordering::Relaxed) {
                let path = dir.path().join(random.below(50).to_string());
                match random.below(3) {
                    0 => drop(fs::remove_dir_all(&path)),
                    1 => drop(fs::rename(&path, dir.path().join(random.below(50).to_string()))),
                    _ => drop(fs::create_dir_all(path.join("a/b/c"))),
                }
            }
        });
        for round in 0..60 {
            let walk = Walk::new(dir.path()).threads(1 + round % 3).order(ORDERS[round % 2]);
            let walk = walk.max_open_dirs(round % 4);
            for seen in [visit(&walk), stream(&walk)] {
                walks += 1;
                for error in &seen.errors {
                    assert!(matches!(error.kind(), WalkErrorKind::Vanished), "{error}");
                }
            }
        }
    });
    println!("{walks} walks of a changing tree");
}

#[test]
fn a_fifo_is_never_opened_whether_it_was_there_or_took_a_files_place() {
    let dir = temp();
    let fifo = dir.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).expect("a FIFO");
    let file = make(dir.path(), "file");
    let all = block_on(entries(&Walk::new(dir.path()).min_depth(1)));
    fs::remove_file(&file).expect("removed");
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).expect("a FIFO");
    assert_eq!(all.len(), 2);
    for entry in all {
        // A hang here would be an open that waits for a writer.
        let error = entry.open().expect_err("not a regular file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{entry:?}");
    }
}

#[test]
fn a_file_replaced_by_a_link_is_not_followed() {
    let dir = temp();
    make(dir.path(), "secret");
    let file = make(dir.path(), "in/file");
    let walk = Walk::new(dir.path().join("in")).min_depth(1);
    let all = block_on(entries(&walk));
    fs::remove_file(&file).expect("removed");
    symlink("../secret", &file).expect("a link");
    assert!(all[0].open().is_err());
}

/// CVE-2022-21658 and its kind: no component of a path is looked at twice.
#[test]
fn a_directory_replaced_by_a_link_is_not_followed() {
    for order in ORDERS {
        let dir = temp();
        make(dir.path(), "outside/secret");
        make(dir.path(), "in/d/file");
        let walk = Walk::new(dir.path().join("in")).order(order).threads(1).window(0);
        let mut seen = 0;
        let mut errors = 0;
        let cell = std::sync::Mutex::new((&mut seen, &mut errors));
        walk.for_each(|entry| {
            let mut counts = cell.lock().expect("no panic");
            match entry {
                Ok(entry) => {
                    *counts.0 += 1;
                    if entry.file_name() == "d" {
                        fs::remove_dir_all(entry.path()).expect("removed");
                        symlink("../outside", entry.path()).expect("a link");
                    }
                }
                Err(error) => {
                    assert!(matches!(error.kind(), WalkErrorKind::Vanished), "{error}");
                    *counts.1 += 1;
                }
            }
            Flow::Continue
        })
        .expect("not cancelled");
        assert_eq!((seen, errors), (2, 1), "the root, d, and that d is no directory any more");
    }
}

/// Many file systems give the inode number of a removed directory to the next one.
#[test]
fn a_directory_made_anew_with_the_same_inode_is_another_directory() {
    let dir = temp();
    let file = make(dir.path(), "tree/d/file");
    make(dir.path(), "tree/other/file");
    let walk = Walk::new(dir.path().join("tree")).max_open_dirs(0).order(Order::Sorted);
    let all = block_on(entries(&walk));
    let entry = all.iter().find(|entry| entry.path() == file).expect("found");
    let old = fs::metadata(dir.path().join("tree/d")).expect("there");
    let created = |meta: fs::Metadata| meta.created().expect("this file system knows");
    let born = created(old.clone());
    wait_until("the clock of the file system went on", || {
        created(fs::metadata(make(dir.path(), "tick")).expect("there")) > born
            || fs::remove_file(dir.path().join("tick")).is_err()
    });
    let mut same = false;
    for _ in 0..100 {
        fs::remove_dir_all(dir.path().join("tree/d")).expect("removed");
        make(dir.path(), "tree/d/file");
        same = fs::metadata(dir.path().join("tree/d")).expect("there").ino() == old.ino();
        let error = entry.open().expect_err("another file, whatever its number is");
        assert_eq!(error.kind(), ErrorKind::StaleNetworkFileHandle, "same inode: {same}");
        if same {
            break;
        }
    }
    println!("the same inode number: {same}");
}

#[test]
fn an_entry_survives_a_move_of_its_directory_and_never_becomes_another_file() {
    for budget in [0, 100] {
        let dir = temp();
        let old = make(dir.path(), "tree/d/file");
        make(dir.path(), "tree/other/file");
        let walk = Walk::new(dir.path().join("tree")).max_open_dirs(budget).order(Order::Sorted);
        let all = block_on(entries(&walk));
        let entry = all.iter().find(|entry| entry.path() == old).expect("found");
        fs::rename(dir.path().join("tree/d"), dir.path().join("moved")).expect("moved");
        make(dir.path(), "tree/d/file");
        fs::write(&old, "another file").expect("written");
        match entry.open() {
            // Its directory was still open, so the path did not matter.
            Ok(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).expect("readable");
                assert_eq!((budget, text.as_str()), (100, "tree/d/file"));
            }
            Err(error) => {
                assert_eq!(budget, 0, "{error}");
                assert_eq!(error.kind(), ErrorKind::StaleNetworkFileHandle, "{error}");
            }
        }
    }
}
