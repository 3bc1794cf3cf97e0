//! What Linux tells of the process, in `/proc`.

use super::LeakedFd;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process,
};

pub(super) fn threads(prefix: Option<&[u8]>) -> io::Result<BTreeMap<u64, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The thread may end between the listing and this read.
        let Ok(mut comm) = fs::read(entry.path().join("comm")) else { continue };
        if let Some(name) = name(&mut comm, prefix) {
            found.insert(tid, name);
        }
    }
    Ok(found)
}

pub(super) fn fds(prefix: Option<&Path>) -> io::Result<BTreeSet<LeakedFd>> {
    let own = PathBuf::from(format!("/proc/{}/fd", process::id()));
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The descriptor may be closed by now; the one that reads this listing always is.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        if target != own && prefix.is_none_or(|prefix| is_under(&target, prefix)) {
            found.insert(LeakedFd { fd, target });
        }
    }
    Ok(found)
}

/// Whether a descriptor's target is `prefix` or lies below it. The kernel marks a file that was
/// removed while it is open by a suffix of its path.
fn is_under(target: &Path, prefix: &Path) -> bool {
    let live = target.to_str().and_then(|target| target.strip_suffix(" (deleted)"));
    target.starts_with(prefix) || live.is_some_and(|live| Path::new(live).starts_with(prefix))
}

/// The processes that this one has started and not waited for yet.
pub(super) fn children(prefix: Option<&[u8]>) -> io::Result<BTreeMap<u64, String>> {
    // The first thread is always there: if it has no such file, the kernel was built without it.
    fs::metadata(format!("/proc/self/task/{}/children", process::id()))?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task")? {
        // The thread may end between the listing and this read; its children are another's then.
        let Ok(children) = fs::read_to_string(entry?.path().join("children")) else { continue };
        for pid in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
            let Ok(mut comm) = fs::read(format!("/proc/{pid}/comm")) else { continue };
            if let Some(name) = name(&mut comm, prefix) {
                found.insert(pid, name);
            }
        }
    }
    Ok(found)
}

/// The name in a `comm` file, if it is one that is looked for.
fn name(comm: &mut Vec<u8>, prefix: Option<&[u8]>) -> Option<String> {
    comm.truncate(comm.trim_ascii_end().len());
    let is_looked_for = prefix.is_none_or(|prefix| comm.starts_with(prefix));
    is_looked_for.then(|| String::from_utf8_lossy(comm).into_owned())
}
