//! Files that are not what they seem: FIFOs, sockets, devices, `/proc`, files that change.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::program::{run, treesum, wrapped};
use crate::tree::{line, tempdir, write};

/// Whether any of `paths` is opened while `during` runs.
fn opened(paths: &[&Path], during: impl FnOnce()) -> bool {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    for path in paths {
        inotify::add_watch(&watch, *path, WatchFlags::OPEN).unwrap();
    }
    during();
    let mut buffer = [0; 4096];
    match rustix::io::read(&watch, &mut buffer) {
        Ok(n) => n > 0,
        Err(rustix::io::Errno::AGAIN) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn fifos_sockets_and_devices_are_never_opened() {
    let dir = tempdir();
    let file = write(dir.path(), "file", "x");
    let fifo = dir.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let device = dir.path().join("device");
    let made = mknodat(CWD, &device, FileType::CharacterDevice, Mode::RWXU, makedev(1, 3));
    let mut paths = vec![fifo.as_path(), &socket];
    match made {
        Ok(()) => paths.push(&device),
        Err(error) => eprintln!("without a device: {error}"),
    }
    let mut manifest = Vec::new();
    for path in &paths {
        manifest.extend(line(path.file_name().unwrap().as_encoded_bytes(), b""));
        manifest.push(b'\n');
    }
    write(dir.path(), "manifest", manifest);

    let never = opened(&paths, || {
        for args in [&["scan", "."][..], &["scan", ".", "--follow"], &["scan", ".", "--unordered"]]
        {
            let ran = treesum(dir.path(), args).expect(0).silent();
            assert_eq!(ran.lines().len(), 2, "{args:?}");
        }
        let ran = treesum(dir.path(), ["scan", "fifo", "socket"]).expect(1);
        ran.says(&["fifo: not a directory"]).says(&["socket: not a directory"]);
        let ran = treesum(dir.path(), ["verify", "manifest", "--quiet"]).expect(1);
        let text = "fifo: FAILED (unreadable: not a regular file)";
        assert!(ran.text().contains(text), "{ran:?}");
    });
    assert!(!never, "something was opened");
    // The watch does see an opening.
    assert!(opened(&[&file], || drop(treesum(dir.path(), ["scan", "."]).expect(0))));
}

#[test]
fn a_fifo_is_accepted_as_manifest_and_as_standard_input() {
    let dir = tempdir();
    write(dir.path(), "t/a", "x");
    let script = "\"$0\" scan t | \"$0\" verify - && \"$0\" scan t | \"$0\" verify /dev/stdin";
    let mut command = wrapped("sh", ["-c", script, crate::program::BINARY]);
    let ran = run(command.current_dir(dir.path())).expect(0);
    assert_eq!(ran.text(), "t/a: OK\nt/a: OK\n");
}

#[test]
fn proc_does_not_hang_the_scan() {
    let ran = treesum(Path::new("/"), ["scan", "/proc/self", "--quiet"]);
    assert!(matches!(ran.code(), Some(0 | 1)), "{ran:?}");
    let find = |name: &[u8]| ran.lines().iter().any(|line| line.ends_with(name));
    assert!(find(b"  /proc/self/cmdline"), "files that say they are empty are read");
    let empty = line(b"/proc/self/cmdline", b"");
    assert!(!ran.lines().contains(&&empty[..]), "to their end");
    assert!(ran.stderr.contains("/proc/self/pagemap: "), "one that never ends is reported");
    assert!(!find(b"/pagemap"), "and has no sum");
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn files_that_change_while_they_are_read_do_no_harm() {
    let dir = tempdir();
    let names: Vec<_> =
        (0..50).map(|i| write(dir.path(), format!("f{i}"), vec![1; 200_000])).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                for name in &names {
                    let file = File::options().write(true).open(name).unwrap();
                    file.set_len(10).unwrap();
                    file.set_len(200_000).unwrap();
                    (&file).write_all(b"other").unwrap();
                }
            }
        });
        // Also if an assertion fails: the scope waits for the thread.
        let _stop = OnDrop(|| stop.store(true, Relaxed));
        for _ in 0..5 {
            let ran = treesum(dir.path(), ["scan", "."]).expect(0).silent();
            assert_eq!(ran.lines().len(), 50);
        }
    });
}

#[test]
fn a_sparse_file_is_summed_like_its_zeros() {
    let dir = tempdir();
    let size = 10 << 20;
    File::create(dir.path().join("s")).unwrap().set_len(size).unwrap();
    let ran = treesum(dir.path(), ["scan", "."]).expect(0);
    let zeros = vec![0; usize::try_from(size).unwrap()];
    assert_eq!(ran.lines(), [line(b"./s", &zeros)]);
    assert_eq!(fs::metadata(dir.path().join("s")).unwrap().len(), size);
}
