//! Subprocesses that are a part of a scope, and end with it: they, and all that they started.
//!
//! A process is a child of its scope, like a task: the scope does not end before it has ended,
//! was reaped, and its tree is gone. When the scope is cancelled, the tree is asked to end, and
//! killed after a [grace](Proc::grace); when the scope is aborted, the handle or the future is
//! dropped, or the runtime is shut down, the tree is killed at once.
//!
//! | state | event | next | what is done |
//! |---|---|---|---|
//! | running | stop: the scope is cancelled, or [`Process::stop`] | stopping, for the grace | the stop signal, and SIGCONT, to the whole tree |
//! | running | its [time](Proc::timeout) is over | stopping, for the grace | the same |
//! | running, stopping | kill: [`Process::kill`], the handle is dropped, or too much output | killing, for 5 s | SIGKILL to the whole tree |
//! | stopping | the time is over | killing, for 5 s | SIGKILL to the whole tree |
//! | running, stopping, killing | the process ends, a pipe of its output is open | draining, for [`Proc::wait_delay`] | |
//! | running, stopping, killing | the process ends, its output is closed | ended | SIGKILL to what is left of the tree; then it is reaped |
//! | draining | its output is closed, or the time is over | ended | the same; what comes later is lost |
//! | draining | stop | draining, for the grace at most | the stop signal, and SIGCONT, to the whole tree |
//! | draining | kill | draining, for 1 s at most | SIGKILL to the whole tree |
//! | killing | the time is over | stuck | a thread is left to wait for it |
//! | any | anything else | the same | |
//!
//! [Stopping](crate::Cx::stop) the scope, softly, does nothing to a process:
//! [`Cx::stopping`](crate::Cx::stopping) tells it to whoever may know how to ask it for an orderly
//! end.
//!
//! # What is never signalled
//!
//! The number of a process or group is used only while the child is not reaped, so that it cannot
//! be another one's, and never 0 or 1, which stand for this program's own group and for every
//! process. Descendants are signalled by a descriptor, after a look whether they are who they
//! were.
//!
//! # Limits
//!
//! - Unix only: elsewhere, and on OpenBSD, which cannot wait without reaping, the feature `process`
//!   adds nothing. [`Tree::Descendants`] needs Linux.
//! - Nobody is left to kill anything when this program itself is killed by SIGKILL.
//! - A program that runs as process 1 of a container inherits the orphans of all others, and is to
//!   reap them, which this does not: let an init do that.
//! - There is no mode with a session of its own: no signal reaches a session as such, and to make
//!   one takes code between `fork` and `exec`, which is `unsafe`. A program that needs one can be
//!   run by `setsid --wait`, with [`Tree::Descendants`].
//! - The system starts a process while the caller waits for it. An abort blocks until the killed
//!   process is dead, which takes the system a moment, and 3 s at most; then a thread waits for it.
//! - Time is tokio's: in a test with a paused clock a process has no time at all.

mod builder;
mod capture;
mod command;
mod drive;
mod error;
mod exit;
mod handle;
#[cfg(target_os = "linux")]
mod hunt;
#[cfg(not(target_os = "linux"))]
#[path = "no_hunt.rs"]
mod hunt;
#[cfg(target_os = "linux")]
mod kin;
mod life;
mod line;
mod output;
mod pipe;
mod program;
mod signal;
mod start;
mod tree;

pub use self::{
    builder::{Input, Overflow, Proc, Sink, Tree},
    error::{Failed, RunError, SpawnError, WaitError},
    handle::Process,
    life::Ended,
    line::Line,
    output::{Leftover, ProcOutput, Stream},
    pipe::{InputPipe, Lines, OutputPipe},
    program::Program,
    signal::StopSignal,
};
