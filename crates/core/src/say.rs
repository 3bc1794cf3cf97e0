//! Last words: foreign code and writes to stderr, which nobody may read, on a thread of their own.

use crate::panic::quietly;
use std::{
    io::{self, Write as _},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread::Builder,
    time::Duration,
};

/// How long whoever wants to end waits for somebody who may have stopped reading.
const PATIENCE: Duration = Duration::from_millis(200);

/// Something that is being said.
pub(crate) struct Saying(Receiver<()>);

impl Saying {
    /// Says it; none, if the system has no thread for that.
    pub(crate) fn begin(say: impl FnOnce() + Send + 'static) -> Option<Self> {
        let (said, heard) = sync_channel::<()>(0);
        let thread = Builder::new().name("tidegate-words".into()).spawn(move || {
            let _: bool = quietly(say);
            drop(said);
        });
        thread.is_ok().then_some(Self(heard))
    }

    /// Waits until it was said, or for a while.
    pub(crate) fn wait(&self) {
        let _: Result<(), RecvTimeoutError> = self.0.recv_timeout(PATIENCE);
    }

    /// Waits until it was said.
    #[cfg(all(test, unix, feature = "signal", not(tidegate_loom)))]
    pub(crate) fn join(self) {
        let _: Result<(), std::sync::mpsc::RecvError> = self.0.recv();
    }
}

/// Writes a line to stderr, or gives up after a while.
pub(crate) fn say_line(line: String) {
    let write = move || drop(writeln!(io::stderr(), "{line}"));
    if let Some(saying) = Saying::begin(write) {
        saying.wait();
    }
}
