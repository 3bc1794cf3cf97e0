//! A Redis server of a test's own.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

/// How the program gets there.
const INSTALL: &str = "apt-get install redis-server";

/// Starts the server, which says its number before anything else, and kills it once the test is gone, however
/// it ended: the pipe that this reads is closed then. Nothing but the server holds the other pipe from then on.
/// What tells all of a terminal to end does not end this: the server may not mind it, or be paused.
const KEEPER: &str = r#"trap '' HUP INT TERM
sh -c 'echo "$$"; exec "$@"' server "$@" & pid=$!; exec >/dev/null; cat; kill -9 "$pid"; wait "$pid""#;

/// What it says once it can be connected to.
const READY: &str = "eady to accept connections";

/// A `redis-server` that belongs to a test: in a directory of its own, on a socket in it, without a port
/// and without persistence. A server that the system runs is not touched.
///
/// It is killed and its directory removed when this is dropped, and killed when the test is killed.
///
/// ```
/// use tidegate_testkit::{RedisServer, RedisServerError};
///
/// let mut server = match RedisServer::start() {
///     // `error` says how it gets there.
///     Err(error @ RedisServerError::Missing) => return Ok(println!("{error}")),
///     started => started?,
/// };
/// println!("connect to {}", server.address());
/// server.pause()?; // it takes connections, and says nothing
/// server.resume()?;
/// server.kill()?;
/// server.restart()?; // empty, at the same address
/// # Ok::<(), RedisServerError>(())
/// ```
#[derive(Debug)]
pub struct RedisServer {
    dir: Dir,
    running: Option<Running>,
}

/// A server that could not be started, or not be told to do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisServerError {
    /// The program is not there.
    #[error("there is no redis-server: {INSTALL}")]
    Missing,
    /// It has ended before it was ready.
    #[error("redis-server has not started: {0}")]
    NotReady(String),
    /// Something else went wrong.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    pid: u32,
}

/// Removed with all in it when it is dropped.
#[derive(Debug)]
struct Dir(PathBuf);

impl RedisServer {
    /// Starts a server, and waits until it can be connected to.
    ///
    /// # Errors
    ///
    /// If there is no such program, or if it does not start.
    pub fn start() -> Result<Self, RedisServerError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tidegate-redis-{}-{number}", process::id());
            let dir = std::env::temp_dir().join(name);
            match fs::create_dir(&dir) {
                // Of a killed test whose number this process has now.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => break made.map(|()| dir)?,
            }
        };
        let mut server = Self { dir: Dir(dir), running: None };
        server.restart()?;
        Ok(server)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.0.join("redis.sock")
    }

    /// The socket, as clients want it: `unix:///path`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Kills it at once, as a crash does, and forgets all that it knew.
    ///
    /// # Errors
    ///
    /// If the system does not tell that it has ended.
    pub fn kill(&mut self) -> Result<(), RedisServerError> {
        self.running.take().map_or(Ok(()), |mut running| Ok(running.end()?))
    }

    /// Starts it again, at the same address and empty; kills it before, if it runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), RedisServerError> {
        self.kill()?;
        self.running = Some(Running::start(&self.dir.0, &self.socket())?);
        Ok(())
    }

    /// Stops it from running, without closing its connections, until it is [resumed](Self::resume).
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn pause(&self) -> Result<(), RedisServerError> {
        self.signal("STOP")
    }

    /// Lets it run again.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn resume(&self) -> Result<(), RedisServerError> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<(), RedisServerError> {
        let not_running = || io::Error::other("redis-server does not run");
        let pid = self.running.as_ref().ok_or_else(not_running)?.pid;
        // The one of the shell is always there.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status()?;
        if status.success() { Ok(()) } else { Err(not_running().into()) }
    }
}

impl Running {
    fn start(dir: &Path, socket: &Path) -> Result<Self, RedisServerError> {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|dir| dir.join("redis-server").is_file())
        });
        if !found {
            return Err(RedisServerError::Missing);
        }
        let options: [&OsStr; 11] = [
            "redis-server".as_ref(),
            "--port".as_ref(),
            "0".as_ref(),
            "--unixsocket".as_ref(),
            socket.as_ref(),
            "--dir".as_ref(),
            dir.as_ref(),
            "--save".as_ref(),
            "".as_ref(),
            "--appendonly".as_ref(),
            "no".as_ref(),
        ];
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = keeper.stdout.take();
        let mut running = Self { keeper, pid: 0 };
        let mut said = String::new();
        for line in stdout.map(BufReader::new).into_iter().flat_map(BufReader::lines) {
            let line = line?;
            match running.pid {
                0 => running.pid = line.trim().parse().map_err(io::Error::other)?,
                _ if line.contains(READY) => return Ok(running),
                _ => said.push_str(&line),
            }
        }
        Err(RedisServerError::NotReady(said))
    }

    fn end(&mut self) -> io::Result<()> {
        drop(self.keeper.stdin.take());
        self.keeper.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What it came to, nobody asks any more.
        let _: io::Result<()> = self.end();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Before its directory goes.
        self.running = None;
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _: io::Result<()> = fs::remove_dir_all(&self.0);
    }
}

#[cfg(all(test, unix, not(miri)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

    use super::*;

    fn kill(signal: &str, pid: u32) -> bool {
        let command = format!("kill -{signal} {pid}");
        let mut sh = Command::new("sh");
        sh.args(["-c", &command]).stderr(Stdio::null()).status().unwrap().success()
    }

    /// A terminal that is closed, or interrupted, says so to all that run in it.
    #[test]
    fn no_server_is_left_when_its_keeper_is_told_to_end() {
        for signal in ["HUP", "INT", "TERM"] {
            let server = match RedisServer::start() {
                Err(RedisServerError::Missing) => return,
                started => started.unwrap(),
            };
            server.pause().unwrap();
            let Running { keeper, pid } = server.running.as_ref().unwrap();
            let pid = *pid;
            assert!(kill(signal, keeper.id()));
            drop(server);
            let is_left = kill("0", pid);
            kill("KILL", pid);
            assert!(!is_left, "after {signal}");
        }
    }

    #[test]
    fn a_directory_that_was_left_is_in_nobodys_way() {
        let left = |number| {
            let name = format!("tidegate-redis-{}-{number}", process::id());
            std::env::temp_dir().join(name)
        };
        // Some may be in use by the other test.
        let made: Vec<_> =
            (0..8).map(left).filter(|dir| fs::create_dir(dir).is_ok()).map(Dir).collect();
        let started = RedisServer::start();
        assert!(matches!(started, Ok(_) | Err(RedisServerError::Missing)), "{started:?}");
        drop(made);
    }
}
