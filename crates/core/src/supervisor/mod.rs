//! Children that are started again when they fail: Erlang/OTP's supervisor, with delays between
//! the attempts, dependencies, and a history.
//!
//! A [`Supervisor`] runs its children in the order of start, each in a scope of its own, and
//! decides what happens when one ends. Their order is that of their declaration, but none comes
//! before those that it was declared to come [`after`](ChildSpec::after).
//!
//! | a child ends by itself | returned `Ok` | failed or panicked |
//! |---|---|---|
//! | [`Permanent`](Restart::Permanent) | restarted | restarted |
//! | [`Transient`](Restart::Transient) | stays down; it is kept, and comes back with its group or by hand | restarted |
//! | [`Temporary`](Restart::Temporary) | forgotten | forgotten |
//!
//! What is not restarted and [`significant`](ChildSpec::significant) may end the supervisor, as
//! its [`AutoShutdown`] says: with `Ok` if it returned that, or else with
//! [`SupervisorError::Significant`].
//!
//! | then | |
//! |---|---|
//! | a restart | counts, at the start of a child as at any time. It comes after a delay of the child's [`Backoff`](crate::Backoff), which begins with the failure. A child whose last life was as long as the period of the [intensity](SupervisorBuilder::intensity) begins with the first delay again |
//! | one restart too many within the period, or no more delays | all children are stopped, and the supervisor ends with [`SupervisorError::GaveUp`] |
//! | the group of a restart: see [`Strategy`] | is stopped in reverse order, one after the other, and started in order, when all have ended and the delay is over. Temporary children do not come back; neither does what was terminated by hand |
//! | a child of the group ends by itself meanwhile | counts as stopped |
//! | another child fails while some wait for their delay | those in its group start no earlier than either delay allows; with [`Strategy::OneForAll`] all of them at the later one |
//! | a child is to be started | waits for those it comes after, if they are on their way: waiting, starting, stopping to be started again, or in their backoff |
//! | all start, or a group | a child also waits until each one before it is [up](ChildSpec::starting), or has ended. So one that waits, for those it comes after or for its turn, holds up all after it, and one that is late does until it has been stopped; one in its backoff has had its turn |
//! | a child comes back alone, with [`Strategy::OneForOne`] or by hand, or is added | waits for no turn |
//! | a child is not up in time, or lets go of its [`Ready`](crate::Ready) | is stopped, and has failed then |
//!
//! | by hand, with a [`Handle`] | alive | waits or is in its backoff | has ended for good |
//! |---|---|---|---|
//! | [`terminate`](Handle::terminate) | stopped, and stays down | stays down | stays down, also when its group comes back |
//! | [`restart`](Handle::restart) | stopped, then started | started at once | started |
//! | [`delete`](Handle::delete) | refused | refused | forgotten |
//!
//! The last of several orders counts. A temporary child that is terminated is forgotten. None of
//! them counts as a failure, or ends the supervisor.
//!
//! | the supervisor is | it |
//! |---|---|
//! | [stopped](crate::Cx::stop) | restarts nothing any more, stops its children softly in reverse order, each when the one after it has ended, and ends with `Ok` |
//! | cancelled, also after a stop | stops its children in reverse order, each within its own [grace](ChildSpec::stop_grace), and ends with [`SupervisorError::Cancelled`] |
//! | dropped | aborts its children; the scope around waits for them |
//!
//! Within a grace a child is asked, by the cancellation of its scope with a
//! [cause](crate::Cause) that says why; then it is dropped at its next await. One that blocks, or never
//! comes to an await, is waited for, as by OTP's `infinity`, and named by
//! [`Cx::stragglers`](crate::Cx::stragglers).
//!
//! # Compared with OTP
//!
//! The backoff, `after`, the soft stop and the history are additions. A child that fails as it is
//! started counts as any other failure, whereas OTP's supervisor does not start then. What was
//! terminated by hand does not come back with its group. A significant child that fails for good
//! is an error.

mod builder;
mod error;
mod event;
mod handle;
mod info;
mod life;
mod mailbox;
mod order;
mod policy;
mod run;
mod spec;
mod state;

#[cfg(all(test, tidegate_loom))]
mod loom_tests;
#[cfg(all(test, tidegate_shuttle))]
mod shuttle_tests;

pub use self::{
    builder::{Supervisor, SupervisorBuilder},
    error::{AddError, ConfigError, ControlError, Fatal, SupervisorError},
    event::{Event, EventKind, Exit, ExitKind, Limit, StopReason},
    handle::Handle,
    info::{ChildInfo, ChildState},
    policy::{AutoShutdown, Restart, Strategy},
    spec::{ChildSpec, DEFAULT_START_TIMEOUT},
};
