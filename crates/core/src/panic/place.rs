//! Where a panic happened, which the panic hook alone is told.
//!
//! [`listen`] puts a hook in front of the program's, once: it notes the place of a panic of
//! scoped work, and a backtrace if these are [enabled](std::backtrace), and lets the program's
//! hook go on. Who catches the panic, on the same thread, takes the note.

use crate::inspect;
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    cell::RefCell,
    panic::{PanicHookInfo, set_hook, take_hook},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Where a panic happened.
#[derive(Debug)]
pub(crate) struct Place {
    /// As `file:line:column`.
    pub(crate) at: String,
    pub(crate) backtrace: Option<Backtrace>,
}

/// What the hook has seen last on a thread.
struct Note {
    message: String,
    place: Arc<Place>,
}

thread_local! {
    static NOTE: RefCell<Option<Note>> = const { RefCell::new(None) };
}

/// From now on panics of scoped work are noted.
pub(crate) fn listen() {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    // A thread that panics may not change the hook: another scope will. Under shuttle threads are
    // not the system's, whose places these are.
    if cfg!(tidegate_shuttle) || LISTENS.load(Ordering::Relaxed) || thread::panicking() {
        return;
    }
    if !LISTENS.swap(true, Ordering::Relaxed) {
        let next = take_hook();
        set_hook(Box::new(move |info| {
            note(info);
            next(info);
        }));
    }
}

fn note(info: &PanicHookInfo<'_>) {
    if !inspect::is_running() {
        return;
    }
    let Some(at) = info.location() else { return };
    let backtrace = Backtrace::capture();
    let backtrace = Some(backtrace).filter(|b| b.status() == BacktraceStatus::Captured);
    let place = Arc::new(Place { at: at.to_string(), backtrace });
    let note = Note { message: super::message(info.payload()), place };
    // A thread that ends has no notes any more. What was there is dropped after the borrow.
    let _ = NOTE.try_with(|last| last.replace(Some(note)));
}

/// A panic that was caught goes on, of which the hook is not told again.
pub(super) fn put_back(message: &str, place: &Arc<Place>) {
    let note = Note { message: message.to_owned(), place: Arc::clone(place) };
    let _ = NOTE.try_with(|last| last.replace(Some(note)));
}

/// The place of the panic with this message that the calling thread has caught, if the hook was
/// told: a payload that somebody caught elsewhere and threw again has none.
pub(super) fn take(message: &str) -> Option<Arc<Place>> {
    let note = NOTE.try_with(RefCell::take).ok().flatten();
    note.filter(|note| note.message == message).map(|note| note.place)
}
