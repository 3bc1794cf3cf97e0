//! Looking at a supervisor, and controlling it, from outside.

use super::{
    AddError, ChildInfo, ChildSpec, ControlError, Event, builder::Shared, mailbox::Mail,
    state::Machine,
};
use crate::{Name, sync::Arc};
use std::{
    fmt::{self, Debug},
    future::Future,
    panic::Location,
    task::{Context, Poll},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// To look at a [`Supervisor`](super::Supervisor) and to control it while it runs. Cheap to
/// clone; the supervisor's life depends on no handle. Children find that of their supervisor by
/// [`cx.value::<Handle>()`](crate::Cx::value).
///
/// A child of a nested supervisor goes by its path below this one, such as `storage/conn`, in
/// which a `/` of a name reads `%2F` and a `%` reads `%25`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::convert::Infallible;
/// use tidegate_core::{Cx, scope, supervisor::{ChildSpec, ChildState, Supervisor}};
///
/// let worker = |cx: Cx<Infallible>| async move { Ok(drop(cx.stopping().await)) };
/// let supervisor = Supervisor::builder("workers").build().unwrap();
/// let handle = supervisor.handle();
/// let app = scope("app", async |cx: Cx<Infallible>| {
///     let (running, stopper) = (cx.clone(), cx.clone());
///     cx.spawn("workers", async move { Ok(supervisor.run(&running).await.unwrap()) });
///     tokio::task::yield_now().await;
///     handle.add(ChildSpec::new("one", worker)).await.unwrap();
///     handle.add(ChildSpec::new("two", worker)).await.unwrap();
///     handle.terminate("one").await.unwrap();
///     let states: Vec<_> = handle.children().into_iter().map(|child| child.state).collect();
///     assert_eq!(states, [ChildState::Terminated, ChildState::Up]);
///     handle.delete("one").await.unwrap();
///     stopper.stop("the example ends");
///     Ok(())
/// });
/// app.await.unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

/// Something to be done by the supervisor.
pub(super) struct Command {
    pub(super) what: What,
    /// Who asked, for the cause.
    pub(super) at: &'static Location<'static>,
    pub(super) answer: Answer,
}

pub(super) enum What {
    Add(Box<ChildSpec>),
    Terminate(String),
    Restart(String),
    Delete(String),
}

/// Where the result goes. As long as there is none the command is one of a bounded number.
pub(super) struct Answer {
    tell: oneshot::Sender<Result<(), ControlError>>,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn give(self, result: Result<(), ControlError>) {
        // Whoever asked may have gone.
        let _ = self.tell.send(result);
    }

    /// Ready when whoever asked has gone.
    pub(super) fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.tell.poll_closed(cx)
    }
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The name of the supervisor.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Whether it runs now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.mail.is_open()
    }

    /// Its children in the order of start; of its last run, if it does not run.
    #[must_use]
    pub fn children(&self) -> Vec<ChildInfo> {
        self.0.with(|core| core.machine.as_ref().map_or_else(Vec::new, Machine::infos))
    }

    /// The child of that path.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn child(&self, path: &str) -> Result<ChildInfo, ControlError> {
        let (supervisor, name) = self.resolve(path)?;
        let child = supervisor.children().into_iter().find(|child| child.name.as_str() == name);
        child.ok_or_else(|| ControlError::Unknown(path.to_owned()))
    }

    /// What happened last, oldest first: as much as is
    /// [kept](super::SupervisorBuilder::history).
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.0.with(|core| core.machine.as_ref().map_or_else(Vec::new, Machine::history))
    }

    /// The handle of a nested supervisor.
    ///
    /// # Errors
    ///
    /// If there is none of that path.
    pub fn nested(&self, path: &str) -> Result<Self, ControlError> {
        let mut supervisor = self.clone();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            supervisor = supervisor.step(&unescape(name))?;
        }
        Ok(supervisor)
    }

    /// Adds a child after all others, and starts it, unless one that it comes
    /// [after](ChildSpec::after) is not up. It is known by its name from then on, until it is
    /// [deleted](Self::delete) or the run ends; a child that is temporary, until it ends.
    ///
    /// # Errors
    ///
    /// With the child, if the supervisor does not run, or the child does not fit to the others.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the child may be added all the same. Tested
    /// by `an_order_dropped_at_any_await_loses_nothing`.
    #[track_caller]
    pub fn add(&self, child: ChildSpec) -> impl Future<Output = Result<(), AddError>> + use<> {
        let (at, shared) = (Location::caller(), Arc::clone(&self.0));
        async move {
            let added = command(&shared, What::Add(Box::new(child.clone())), at).await;
            added.map_err(|reason| AddError::new(reason, child))
        }
    }

    /// Has a child end, within its [`stop_grace`](ChildSpec::stop_grace), and not started again:
    /// neither by itself, in a backoff for instance, nor with others. Those that come
    /// [after](ChildSpec::after) it go on. Returns when it has ended, for which the child itself
    /// must not wait.
    ///
    /// # Errors
    ///
    /// If there is no such child; [`ControlError::NotRunning`] if the supervisor does not run, or
    /// is dropped before the child has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the child may end all the same. Tested by
    /// `an_order_dropped_at_any_await_loses_nothing`.
    #[track_caller]
    pub fn terminate(&self, path: &str) -> impl Future<Output = Result<(), ControlError>> + use<> {
        self.control(path, What::Terminate)
    }

    /// Has a child end and start again; one that is not alive is started at once, unless one
    /// that it comes [after](ChildSpec::after) is not up. It counts for no limit, and the
    /// child's delays begin anew. Returns when it was started, or somebody had it terminated.
    ///
    /// # Errors
    ///
    /// If there is no such child; [`ControlError::NotRunning`] if the supervisor does not run, or
    /// ends before the child was started.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the child may be restarted all the same.
    /// Tested by `an_order_dropped_at_any_await_loses_nothing`.
    #[track_caller]
    pub fn restart(&self, path: &str) -> impl Future<Output = Result<(), ControlError>> + use<> {
        self.control(path, What::Restart)
    }

    /// Forgets a child that has ended for good.
    ///
    /// # Errors
    ///
    /// If there is no such child, it has not ended for good, or another one comes after it; if
    /// the supervisor does not run.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the child may be forgotten all the same.
    /// Tested by `an_order_dropped_at_any_await_loses_nothing`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> impl Future<Output = Result<(), ControlError>> + use<> {
        self.control(path, What::Delete)
    }

    #[track_caller]
    fn control(
        &self,
        path: &str,
        what: fn(String) -> What,
    ) -> impl Future<Output = Result<(), ControlError>> + use<> {
        let (at, resolved) = (Location::caller(), self.resolve(path));
        async move {
            let (supervisor, name) = resolved?;
            command(&supervisor.0, what(name), at).await
        }
    }

    /// The supervisor that a path leads to, and the name of the child in it.
    fn resolve(&self, path: &str) -> Result<(Self, String), ControlError> {
        let (around, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.nested(around)?, unescape(name)))
    }

    fn step(&self, name: &str) -> Result<Self, ControlError> {
        self.0.with(|core| {
            let machine = core.machine.as_ref().filter(|_| self.is_running());
            let machine = machine.ok_or(ControlError::NotRunning)?;
            let unknown = || ControlError::Unknown(name.to_owned());
            let spec =
                machine.id_of(name).and_then(|id| core.specs.get(&id)).ok_or_else(unknown)?;
            let nested = spec.nested.as_ref();
            nested
                .map(|nested| Self(Arc::clone(nested)))
                .ok_or_else(|| ControlError::NotASupervisor(name.to_owned()))
        })
    }
}

async fn command(
    shared: &Shared,
    what: What,
    at: &'static Location<'static>,
) -> Result<(), ControlError> {
    let not_running = || ControlError::NotRunning;
    // Nobody closes it.
    let permit = Arc::clone(&shared.permits).acquire_owned().await.map_err(|_| not_running())?;
    let (tell, told) = oneshot::channel();
    let command = Command { what, at, answer: Answer { tell, _permit: permit } };
    shared.mail.post(Mail::Command(command)).map_err(|_refused| not_running())?;
    told.await.unwrap_or(Err(ControlError::NotRunning))
}

/// A name as it is, of one as it stands in a path.
fn unescape(name: &str) -> String {
    name.replace("%2F", "/").replace("%25", "%")
}

impl Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&*self.0).finish()
    }
}
