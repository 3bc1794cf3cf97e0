//! Files appear whole or not at all.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tidegate_fs_walk::{AtomicWriter, Overwrite, Step};

use crate::child::in_child;
use crate::tree::{make, name_of, temp};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn a_committed_file_is_whole_and_alone() {
    let dir = temp();
    let path = dir.path().join("out");
    let big: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = AtomicWriter::create(&path).expect("created");
    assert_eq!(writer.path(), path);
    for chunk in big.chunks(100_003) {
        writer.write_all(chunk).expect("written");
        assert!(!path.exists());
    }
    writer.commit().expect("committed");
    assert_eq!(fs::read(&path).expect("readable"), big);
    assert_eq!(names(dir.path()), ["out"]);
    // As any new file: the umask of this process decides.
    fs::write(dir.path().join("plain"), b"").expect("written");
    assert_eq!(mode(&path), mode(&dir.path().join("plain")));
}

#[test]
fn dropping_or_discarding_at_any_point_leaves_the_old_file() {
    let dir = temp();
    let path = make(dir.path(), "out");
    for step in 0..4 {
        let mut writer = AtomicWriter::create(&path).expect("created");
        assert_eq!(names(dir.path()).len(), 2, "the temporary file is beside it");
        if step > 0 {
            writer.write_all(&vec![b'x'; 200_000]).expect("written");
        }
        if step > 1 {
            writer.flush().expect("flushed");
        }
        if step > 2 {
            writer.discard().expect("removed");
        } else {
            drop(writer);
        }
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "out");
    }
}

#[test]
fn permissions_are_those_of_the_file_it_replaces() {
    let dir = temp();
    let path = make(dir.path(), "out");
    for bits in [0o600, 0o640, 0o755, 0o444] {
        fs::set_permissions(&path, PermissionsExt::from_mode(bits)).expect("set");
        let mut writer = AtomicWriter::create(&path).expect("created");
        writer.write_all(b"new").expect("written");
        writer.commit().expect("committed");
        assert_eq!(mode(&path), bits);
    }
    assert_eq!(fs::read(&path).expect("readable"), b"new");
}

#[test]
fn refusing_to_overwrite_holds_until_the_commit() {
    let dir = temp();
    let path = make(dir.path(), "out");
    let options = AtomicWriter::options().overwrite(Overwrite::Refuse);
    let error = options.clone().create(&path).expect_err("it is there");
    assert_eq!((error.step(), error.io_error().kind()), (Step::Resolve, ErrorKind::AlreadyExists));
    fs::remove_file(&path).expect("removed");
    let mut writer = options.clone().create(&path).expect("created");
    writer.write_all(b"mine").expect("written");
    fs::write(&path, b"theirs").expect("written");
    let error = writer.commit().expect_err("it is there by now");
    assert_eq!((error.step(), error.io_error().kind()), (Step::Rename, ErrorKind::AlreadyExists));
    assert_eq!(
        (fs::read(&path).expect("readable"), names(dir.path())),
        (b"theirs".to_vec(), vec!["out".to_owned()])
    );
    fs::remove_file(&path).expect("removed");
    options.create(&path).expect("created").commit().expect("nothing is in the way");
    assert_eq!(names(dir.path()), ["out"]);
}

#[test]
fn refusing_to_overwrite_does_not_write_through_a_link_that_leads_nowhere() {
    let dir = temp();
    symlink("nowhere", dir.path().join("link")).expect("a link");
    let options = AtomicWriter::options().overwrite(Overwrite::Refuse);
    let error = options.create(dir.path().join("link")).expect_err("it is there");
    assert_eq!(error.io_error().kind(), ErrorKind::AlreadyExists);
    assert_eq!(names(dir.path()), ["link"]);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let dir = temp();
    let real = make(dir.path(), "real/file");
    make(dir.path(), "links/");
    let [one, two, dangling, knot] =
        ["one", "two", "dangling", "knot"].map(|name| dir.path().join("links").join(name));
    symlink("../real/file", &one).expect("a link");
    symlink(&one, &two).expect("a link");
    symlink("../real/new", &dangling).expect("a link");
    symlink("knot", &knot).expect("a link");
    let write = |path: &Path| {
        let mut writer = AtomicWriter::create(path)?;
        writer.write_all(name_of(path).as_encoded_bytes()).expect("written");
        writer.commit()
    };
    for (link, target) in [(&one, &real), (&two, &real), (&dangling, &dir.path().join("real/new"))]
    {
        write(link).expect("committed");
        assert!(fs::symlink_metadata(link).expect("there").is_symlink());
        let text = fs::read(target).expect("readable");
        assert_eq!(text, name_of(link).as_encoded_bytes());
    }
    assert_eq!(names(&dir.path().join("real")), ["file", "new"]);
    assert_eq!(write(&knot).expect_err("a loop").step(), Step::Resolve);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let dir = temp();
    make(dir.path(), "dir/");
    for path in [Path::new("/dev/null"), Path::new("/"), Path::new(".."), &dir.path().join("dir")] {
        let error = AtomicWriter::create(path).expect_err("refused");
        assert_eq!(error.step(), Step::Resolve, "{error}");
    }
    let slash = AtomicWriter::create(dir.path().join("new/")).expect_err("refused");
    assert_eq!(slash.io_error().kind(), ErrorKind::IsADirectory);
    let dot = AtomicWriter::create(dir.path().join("new/.")).expect_err("refused");
    assert_eq!(dot.io_error().kind(), ErrorKind::IsADirectory);
    let missing = dir.path().join("no\nsuch/file");
    let error = AtomicWriter::create(&missing).expect_err("no directory");
    assert_eq!((error.path(), error.io_error().kind()), (missing.as_path(), ErrorKind::NotFound));
    let line = error.to_string();
    assert!(line.contains("no\\nsuch/file") && !line.contains('\n'), "{line}");
    assert_eq!(names(dir.path()), ["dir"]);
}

#[test]
fn a_name_of_255_bytes_and_a_relative_path() {
    in_child(
        "atomic_writer::a_name_of_255_bytes_and_a_relative_path",
        |_| {},
        || {
            let dir = temp();
            std::env::set_current_dir(dir.path()).expect("a directory");
            let name = "n".repeat(255);
            let mut writer = AtomicWriter::create(&name).expect("created");
            writer.write_all(b"x").expect("written");
            writer.commit().expect("committed");
            assert_eq!(names(dir.path()), [name]);
            assert!(AtomicWriter::create("n".repeat(256)).is_err());
        },
    );
}

/// The limit of a file's size stands in for a full disk; the signal that comes with it is ignored
/// by the shell that starts the child.
#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    in_child(
        "atomic_writer::a_full_disk_leaves_the_old_file_and_nothing_else",
        |command| {
            let mut shell = std::process::Command::new("/bin/sh");
            shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
            shell.arg(command.get_program()).args(command.get_args());
            shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
            *command = shell;
        },
        || {
            use rustix::process::{Resource, Rlimit, setrlimit};
            let dir = temp();
            let path = make(dir.path(), "out");
            let limit = Rlimit { current: Some(100_000), maximum: Some(100_000) };
            setrlimit(Resource::Fsize, limit).expect("lowered");
            // Found out while writing, and only by the commit.
            for size in [200_000, 120_000] {
                let mut writer = AtomicWriter::create(&path).expect("created");
                let written = writer.write_all(&vec![b'x'; size]);
                if size == 200_000 {
                    let error = written.expect_err("no room");
                    assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
                    assert!(writer.write_all(b"more").is_err(), "it does not recover");
                    assert!(writer.flush().is_err(), "nor does it forget");
                }
                let error = writer.commit().expect_err("incomplete");
                assert_eq!(error.step(), Step::Write, "{error}");
                assert_eq!(names(dir.path()), ["out"]);
                assert_eq!(fs::read_to_string(&path).expect("readable"), "out");
            }
        },
    );
}
