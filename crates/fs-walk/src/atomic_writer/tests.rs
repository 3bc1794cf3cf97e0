//! Every step fails once: the old file stays, and no temporary one.

use super::*;
use crate::sys::Call;
use crate::sys::faults::Plan;

fn attempt(dir: &Path, plan: Plan, overwrite: Overwrite) -> Result<(), AtomicWriterError> {
    let (sys, plan) = plan.into_sys();
    let options = AtomicWriterOptions { overwrite, sys };
    let mut writer = options.create(dir.join("out")).inspect_err(|_| assert!(plan.hits() > 0))?;
    // A failed write shows in the commit too.
    let _ = writer.write_all(&vec![b'x'; 100_000]);
    let result = writer.commit();
    assert!(plan.hits() > 0, "the fault was never met");
    result
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("readable");
    let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

#[test]
fn a_failure_at_any_step_leaves_the_old_file_alone() {
    for (call, name, skip, step) in [
        (Call::OpenDir, "", 0, Step::Resolve),
        (Call::StatAt, "", 0, Step::Resolve),
        (Call::Create, "", 0, Step::Create),
        (Call::Chmod, "", 0, Step::Create),
        (Call::Write, "", 0, Step::Write),
        (Call::Write, "", 1, Step::Write),
        (Call::Sync, "file", 0, Step::Sync),
        (Call::Rename, "", 0, Step::Rename),
    ] {
        for errno in [Errno::IO, Errno::NOSPC] {
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::write(dir.path().join("out"), b"old").expect("written");
            let plan = Plan::new().fail(call, name, skip, 1, errno);
            let error = attempt(dir.path(), plan, Overwrite::Replace).expect_err("failed");
            assert_eq!(error.step(), step, "{error}");
            assert_eq!(names(dir.path()), ["out"], "{error}");
            assert_eq!(std::fs::read(dir.path().join("out")).expect("readable"), b"old");
        }
    }
}

#[test]
fn a_directory_that_cannot_be_synced_is_an_error_unless_it_has_no_way_to() {
    for (errno, fails) in [(Errno::IO, true), (Errno::INVAL, false), (Errno::NOTSUP, false)] {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = Plan::new().fail(Call::Sync, "dir", 0, 1, errno);
        let result = attempt(dir.path(), plan, Overwrite::Replace);
        assert_eq!(result.as_ref().is_err_and(|error| error.step() == Step::SyncDir), fails);
        assert_eq!(result.is_err(), fails);
        assert_eq!(names(dir.path()), ["out"], "the file is in place either way");
    }
}

#[test]
fn without_an_exclusive_rename_a_link_refuses_as_well() {
    for errno in [Errno::INVAL, Errno::NOSYS] {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = || Plan::new().fail(Call::Rename, "", 0, 1, errno);
        attempt(dir.path(), plan(), Overwrite::Refuse).expect("committed");
        assert_eq!(names(dir.path()), ["out"]);
        let (sys, _) = plan().into_sys();
        std::fs::remove_file(dir.path().join("out")).expect("removed");
        let options = AtomicWriterOptions { overwrite: Overwrite::Refuse, sys };
        let writer = options.create(dir.path().join("out")).expect("created");
        std::fs::write(dir.path().join("out"), b"theirs").expect("written");
        let error = writer.commit().expect_err("it is there by now");
        assert_eq!(error.io_error().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(dir.path()), ["out"]);
    }
}

#[test]
fn a_name_that_is_taken_is_tried_with_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let plan = Plan::new().fail(Call::Create, "", 0, 3, Errno::EXIST);
    attempt(dir.path(), plan, Overwrite::Replace).expect("committed");
    let plan = Plan::new().fail(Call::Create, "", 0, usize::MAX, Errno::EXIST);
    let error = attempt(dir.path(), plan, Overwrite::Replace).expect_err("never");
    assert_eq!(error.step(), Step::Create);
}

/// A group of this process that new files do not get.
fn other_group(dir: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata(dir).expect("there").gid();
    let groups =
        rustix::process::getgroups().expect("groups").into_iter().map(rustix::fs::Gid::as_raw);
    let root = rustix::process::geteuid().is_root().then_some(own + 1);
    groups.chain(root).find(|gid| *gid != own).expect("this test needs root or a second group")
}

#[test]
fn what_a_group_was_allowed_is_not_allowed_to_another() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for (may_chgrp, mode) in [(true, 0o640), (false, 0o600)] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("out");
        std::fs::write(&path, b"secret").expect("written");
        let group = other_group(dir.path());
        std::os::unix::fs::chown(&path, None, Some(group)).expect("one of its own groups");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("set");
        let times = usize::from(!may_chgrp);
        let plan = Plan::new().fail(Call::Chgrp, "", 0, times, Errno::PERM);
        let (sys, plan) = plan.into_sys();
        let options = AtomicWriterOptions { overwrite: Overwrite::Replace, sys };
        options.create(&path).expect("created").commit().expect("committed");
        let meta = std::fs::metadata(&path).expect("there");
        assert_eq!((meta.mode() & 0o777, plan.hits()), (mode, times));
        assert_eq!(meta.gid() == group, may_chgrp);
    }
}

#[test]
fn a_link_of_someone_else_in_a_shared_directory_is_not_followed() {
    let me = rustix::process::geteuid().as_raw();
    let stat = |uid, mode| {
        let mut stat = rustix::fs::stat(".").expect("there");
        (stat.st_uid, stat.st_mode) = (uid, mode);
        stat
    };
    let (tmp, own, private) = (stat(me + 1, 0o41777), stat(me + 1, 0o40777), stat(me + 1, 0o41755));
    for (link, dir, follows) in [
        (me + 2, &tmp, false),
        (me + 1, &tmp, true),
        (me, &tmp, true),
        (me + 2, &own, true),
        (me + 2, &private, true),
    ] {
        assert_eq!(may_follow(&stat(link, 0o120_777), dir).is_ok(), follows, "{link} {dir:?}");
    }
}
