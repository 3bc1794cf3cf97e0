//! Pictures that were asked for, one after the other: whoever reads them may be slow, or gone.

use super::attendant::OnDump;
use crate::{
    inspect::Snapshot,
    panic::quietly,
    say::Saying,
    sync::{Arc, Mutex, lock},
};

/// Takes a picture for everybody who asks. Those who ask while one is being taken get one together
/// after it, so that nobody is shown a picture from before they asked, and no more than two wait
/// for a reader that has stopped reading.
pub(super) struct Pictures {
    on_dump: OnDump,
    stage: Arc<Mutex<Stage>>,
    last: Option<Saying>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Taking,
    /// Somebody has asked since it began.
    AskedAgain,
}

impl Stage {
    /// Somebody asks; true, if there is nobody yet who takes pictures.
    fn ask(&mut self) -> bool {
        let next = if *self == Self::Idle { Self::Taking } else { Self::AskedAgain };
        std::mem::replace(self, next) == Self::Idle
    }

    /// A picture was taken; true, if another is to be taken.
    fn taken(&mut self) -> bool {
        let next = if *self == Self::AskedAgain { Self::Taking } else { Self::Idle };
        std::mem::replace(self, next) == Self::AskedAgain
    }
}

impl Pictures {
    pub(super) fn new(on_dump: &OnDump) -> Self {
        let stage = Arc::new(Mutex::new(Stage::Idle));
        Self { on_dump: Arc::clone(on_dump), stage, last: None }
    }

    pub(super) fn ask(&mut self) {
        if !lock(&self.stage).ask() {
            return;
        }
        let (on_dump, stage) = (Arc::clone(&self.on_dump), Arc::clone(&self.stage));
        self.last = Saying::begin(move || {
            loop {
                let _: bool = quietly(|| on_dump(&Snapshot::take()));
                if !lock(&stage).taken() {
                    break;
                }
            }
        });
        if self.last.is_none() {
            // The system has no thread now; it may have one for who asks next.
            *lock(&self.stage) = Stage::Idle;
        }
    }

    /// Waits for what is being taken, if somebody reads it.
    pub(super) fn wait(&self) {
        if let Some(last) = &self.last {
            last.wait();
        }
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::*;
    use std::{sync::mpsc::sync_channel, time::Duration};

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn who_asks_while_a_picture_is_taken_gets_the_next_one() {
        let (begun, begins) = sync_channel(8);
        let (go, goes) = sync_channel::<()>(0);
        let goes = Mutex::new(goes);
        let mut pictures = Pictures::new(
            &(Arc::new(move |_: &Snapshot| {
                begun.send(()).unwrap();
                lock(&goes).recv_timeout(PATIENCE).unwrap();
            }) as OnDump),
        );
        for _ in 0..2 {
            pictures.ask();
            begins.recv_timeout(PATIENCE).unwrap();
            // Both ask after the picture was begun, and one more does for both.
            pictures.ask();
            pictures.ask();
            go.send(()).unwrap();
            begins.recv_timeout(PATIENCE).unwrap();
            go.send(()).unwrap();
            pictures.last.take().unwrap().join();
            assert!(begins.try_recv().is_err());
        }
    }

    fn fail() {
        panic!("a picture that fails")
    }

    #[test]
    fn a_picture_that_panics_is_not_the_last() {
        let (begun, begins) = sync_channel(8);
        let mut pictures = Pictures::new(
            &(Arc::new(move |_: &Snapshot| {
                begun.send(()).unwrap();
                fail();
            }) as OnDump),
        );
        for _ in 0..2 {
            pictures.ask();
            begins.recv_timeout(PATIENCE).unwrap();
            pictures.last.take().unwrap().join();
        }
    }
}
