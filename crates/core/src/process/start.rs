//! Starts a process, and hands it to its driver.

use super::{
    Proc, Process, SpawnError, Stream, Tree,
    builder::{Input, Sink},
    capture::{Capture, Feed},
    command,
    drive::{Driver, Out, Over, Status, TimeLimit},
    exit::Exit,
    hunt::Marker,
    pipe::{InputPipe, OutputPipe},
    tree::Family,
};
use crate::{CancelToken, Cx, inspect::Resource, path::below, sync::Arc};
use std::{
    fmt::{Debug, Display},
    io,
    os::fd::OwnedFd,
    panic::Location,
    process::Child,
};
use tokio::{net::unix::pipe, runtime::Handle, sync::oneshot};

pub(super) fn start<E>(
    proc: &Proc,
    cx: &Cx<E>,
    at: &'static Location<'static>,
) -> Result<Process, SpawnError>
where
    E: Display + Debug + Send + Sync + 'static,
{
    // Before there is a process: a panic for want of a runtime is no reason to start one.
    let _: Handle = Handle::current();
    if let Some(cause) = cx.cause() {
        return Err(SpawnError::Cancelled { program: proc.label(), cause });
    }
    let failed = |doing| move |source| SpawnError::System { program: proc.label(), doing, source };
    // From here on, whatever goes wrong drops the family, and that leaves nothing of it.
    let mut family = begin(proc)?;
    let pid = family.id();
    let exit = Exit::of(family.pid(), family.pidfd()).map_err(failed("hear of its end"))?;
    let over = Over(CancelToken::new());
    let plumb = |family: &mut Family| match family.child_mut() {
        Some(child) => Plumbing::of(child, proc, &over.0),
        None => Ok(Plumbing::default()),
    };
    let Plumbing { feed, outs, stdin, stdout, stderr } =
        plumb(&mut family).map_err(failed("use its pipes"))?;
    let status = Arc::new(Status::default());
    let resource = resource(proc, pid, &status, at);
    let (orders, (tell, told)) = (CancelToken::new(), oneshot::channel());
    let path = || below(cx.path(), &proc.label().to_name());
    let limit = proc.timeout.map(|timeout| TimeLimit { timeout, path: path(), at });
    let driver = Driver::new(proc, family, exit, outs, feed, over, status);
    let (scope, own_orders, own) = (cx.token().clone(), orders.clone(), resource.clone());
    let drive = async move {
        let _held = own.hold();
        // Whoever waits for it may be gone.
        let _ = tell.send(driver.drive(&scope, &own_orders, limit, at).await);
        Ok(())
    };
    let program = proc.label();
    cx.spawn_at(program.to_name(), at, drive);
    Ok(Process::new(program, pid, orders, told, resource, stdin, [stdout, stderr]))
}

/// Starts the child itself.
fn begin(proc: &Proc) -> Result<Family, SpawnError> {
    let unsupported = || {
        let what = "way to find descendants that have left their process group";
        SpawnError::Unsupported { program: proc.label(), what }
    };
    let mut command = command::build(proc)?;
    let mut marker = None;
    if proc.tree == Tree::Descendants {
        let new = Marker::new().ok_or_else(unsupported)?;
        command.env(new.name(), "1");
        marker = Some(new);
    }
    let child = command.spawn().map_err(|source| command::explain(proc, source))?;
    let mut family = Family::new(child, proc.tree);
    if !family.mark(marker) && proc.tree == Tree::Descendants {
        return Err(unsupported());
    }
    Ok(family)
}

/// What a snapshot shows of it.
fn resource(
    proc: &Proc,
    pid: u32,
    status: &Arc<Status>,
    at: &'static Location<'static>,
) -> Resource {
    let (program, status) = (proc.label(), Arc::clone(status));
    let name = program.to_name();
    let details = move || {
        vec![
            ("pid", pid.to_string()),
            ("program", program.path().to_owned()),
            ("state", status.text().to_owned()),
        ]
    };
    Resource::register("process", name, at, Some(Box::new(details)))
}

/// The pipes of a child: those that the driver serves, and those that the caller does.
#[derive(Default)]
struct Plumbing {
    feed: Option<Feed>,
    outs: [Option<Out>; 2],
    stdin: Option<InputPipe>,
    stdout: Option<OutputPipe>,
    stderr: Option<OutputPipe>,
}

impl Plumbing {
    fn of(child: &mut Child, proc: &Proc, over: &CancelToken) -> io::Result<Self> {
        let mut this = Self::default();
        if let Some(stdin) = child.stdin.take() {
            let pipe = pipe::Sender::from_owned_fd(stdin.into())?;
            match &proc.stdin {
                Input::Bytes(bytes) => {
                    this.feed = Some(Feed::new(pipe, Arc::clone(bytes)));
                }
                _ => this.stdin = Some(InputPipe::new(pipe, over)),
            }
        }
        if let Some(stdout) = child.stdout.take() {
            let (out, pipe) = output(stdout.into(), proc.stdout, Stream::Stdout, proc, over)?;
            (this.outs[0], this.stdout) = (Some(out), pipe);
        }
        if let Some(stderr) = child.stderr.take() {
            let (out, pipe) = output(stderr.into(), proc.stderr, Stream::Stderr, proc, over)?;
            (this.outs[1], this.stderr) = (Some(out), pipe);
        }
        Ok(this)
    }
}

fn output(
    fd: OwnedFd,
    sink: Sink,
    stream: Stream,
    proc: &Proc,
    over: &CancelToken,
) -> io::Result<(Out, Option<OutputPipe>)> {
    let pipe = pipe::Receiver::from_owned_fd(fd)?;
    if sink == Sink::Piped {
        let (tell, told) = oneshot::channel();
        return Ok((Out::Piped(told), Some(OutputPipe::new(pipe, tell, over))));
    }
    Ok((Out::Captured(stream, Capture::new(pipe, proc.max_output)), None))
}
