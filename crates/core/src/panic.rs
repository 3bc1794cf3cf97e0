//! Panics, caught where the work runs and named.

mod place;

use self::place::Place;
pub(crate) use self::place::listen;
use crate::TaskInfo;
use std::{
    any::Any,
    backtrace::Backtrace,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::Waker,
};

/// A panic that was caught: which work, the message, and where in the source.
///
/// The place is known to the panic hook alone. The first root scope of a process puts one in front
/// of the program's, which notes where work of a scope panics, with a
/// [backtrace](std::backtrace) if `RUST_BACKTRACE` asks for one, and lets the program's
/// go on as before. Set a hook of your own before that: a program that replaces it later has panics
/// without a place.
#[derive(Clone, Debug)]
pub struct TaskPanic(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    task: TaskInfo,
    message: String,
    place: Option<Arc<Place>>,
}

/// A panic that was caught and has no name yet.
pub(crate) struct Caught {
    payload: Box<dyn Any + Send>,
    message: String,
    place: Option<Arc<Place>>,
}

/// Runs code whose panic is to be named. The place of that is taken at once: the hook notes one for
/// each thread, and what is dropped because of a panic may be the next to panic.
#[inline]
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, Box<Caught>> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Box::new(Caught::new(payload)))
}

impl Caught {
    #[cold]
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = message(&*payload);
        let place = place::take(&message);
        Self { payload, message, place }
    }
}

impl TaskPanic {
    /// Names a panic, and hands its payload out.
    pub(crate) fn of(task: TaskInfo, caught: Caught) -> (Self, Box<dyn Any + Send>) {
        let Caught { payload, message, place } = caught;
        (Self(Arc::new(Inner { task, message, place })), payload)
    }

    /// Lets a panic go on that was caught; whoever catches it next knows where it began.
    pub(crate) fn go_on(&self, payload: Box<dyn Any + Send>) -> ! {
        if let Some(place) = &self.0.place {
            place::put_back(&self.0.message, place);
        }
        resume_unwind(payload)
    }

    /// Whether both are the same event.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Which work panicked.
    #[must_use]
    pub fn task(&self) -> &TaskInfo {
        &self.0.task
    }

    /// What the panic said; a fixed text if the payload was not a string.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened, as `file:line:column`. None, if the hook was not told: for a payload
    /// that was caught elsewhere and thrown again.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.0.place.as_ref().map(|place| &*place.at)
    }

    /// How it came to that, if backtraces are enabled.
    #[must_use]
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.0.place.as_ref()?.backtrace.as_ref()
    }
}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked", self.task())?;
        if let Some(at) = self.location() {
            write!(f, " at {at}")?;
        }
        write!(f, ": {}", self.message())
    }
}

impl std::error::Error for TaskPanic {}

/// The text of a panic; a fixed one if the payload is not a string.
#[must_use]
pub fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(the payload is not a string)".to_owned()
    }
}

/// Drops a value whose destructor may panic.
pub fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// Wakes a task, whatever its waker does: a foreign waker that panics must not keep the
/// others from being woken.
pub fn wake_quietly(waker: Waker) {
    quietly(|| waker.wake());
}

/// Runs foreign code whose panic belongs to nobody; false if it panicked.
pub fn quietly(code: impl FnOnce()) -> bool {
    let Err(second) = catch_unwind(AssertUnwindSafe(code)) else { return true };
    if let Err(third) = catch_unwind(AssertUnwindSafe(|| drop(second))) {
        // A payload whose destructor panics with another one of its kind has no end.
        std::mem::forget(third);
    }
    false
}
