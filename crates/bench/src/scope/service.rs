//! A service: a thousand nodes that start, wait for the shutdown and end.

use super::Place;
use crate::{
    Plan,
    contest::{Contest, Cost, Ratio},
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use task_supervisor::{CancellationToken, SupervisedTask, SupervisorBuilder, TaskResult};
use tidegate_core::{Cx, scope};
use tokio::{sync::Notify, task::JoinSet};
use tokio_graceful_shutdown::{IntoSubsystem, SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::sync::CancellationToken as PlainToken;

/// Each node but those at the bottom has so many below it.
const WIDTH: u64 = 10;
const DEPTH: u32 = 3;
const NODES: u64 = WIDTH + WIDTH * WIDTH + WIDTH * WIDTH * WIDTH;
const FLAT: u64 = 1_000;
const SHUTDOWN: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn run(plan: Plan, place: Place<'_>) -> Vec<Ratio> {
    let rounds = plan.rounds(31);
    let op = format!("start and stop a tree of {NODES} services, {}", place.name);
    let tree = Contest::new(op, Cost::Wall, rounds, || place.run(our_tree())).against(
        "tokio-graceful-shutdown",
        0.125,
        || place.run(subsystems()),
    );
    let tree = tree.against("as many tokio tasks, not nested, with child tokens", None, || {
        place.run(plain_tasks())
    });
    let mut ratios = tree.run();
    let op = format!("start and stop {FLAT} services, {}", place.name);
    let flat = Contest::new(op, Cost::Wall, rounds, || place.run(our_services())).against(
        "task-supervisor",
        1.0,
        || place.run(supervised()),
    );
    ratios.extend(flat.run());
    ratios
}

/// Counts the nodes that are up, and those that ended because of the shutdown.
#[derive(Clone)]
struct Nodes(Arc<Counts>);

struct Counts {
    all: u64,
    up: AtomicU64,
    are_up: Notify,
    stopped: AtomicU64,
}

impl Nodes {
    fn new(all: u64) -> Self {
        let (up, stopped) = Default::default();
        Self(Arc::new(Counts { all, up, are_up: Notify::new(), stopped }))
    }

    fn up(&self) {
        if self.0.up.fetch_add(1, Ordering::Relaxed) + 1 == self.0.all {
            self.0.are_up.notify_one();
        }
    }

    async fn are_up(&self) {
        self.0.are_up.notified().await;
    }

    fn stopped(&self) {
        self.0.stopped.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.stopped.load(Ordering::Relaxed)
    }
}

async fn our_tree() -> u64 {
    let nodes = Nodes::new(NODES);
    let tree = scope("root", async |cx: Cx<Infallible>| {
        start_below(&cx, DEPTH, &nodes);
        nodes.are_up().await;
        cx.cancel("shutdown");
        Ok(())
    });
    tree.await.unwrap();
    nodes.count()
}

/// Nodes with others below them are scopes; those at the bottom are children.
fn start_below(cx: &Cx<Infallible>, depth: u32, nodes: &Nodes) {
    for _ in 0..WIDTH {
        let (above, nodes) = (cx.clone(), nodes.clone());
        cx.spawn("node", async move {
            if depth == 1 {
                serve(&above, &nodes).await;
            } else {
                let node = above.scope("node", async |cx: Cx<Infallible>| {
                    start_below(&cx, depth - 1, &nodes);
                    serve(&cx, &nodes).await;
                    Ok(())
                });
                node.await.unwrap_err();
            }
            Ok(())
        });
    }
}

async fn serve(cx: &Cx<Infallible>, nodes: &Nodes) {
    nodes.up();
    cx.cancelled().await;
    nodes.stopped();
}

async fn subsystems() -> u64 {
    let nodes = Nodes::new(NODES);
    let counted = nodes.clone();
    let root = Toplevel::<BoxError>::new(async move |root: &mut SubsystemHandle| {
        for _ in 0..WIDTH {
            let node = Subsystem { depth: DEPTH, nodes: nodes.clone() };
            root.start(SubsystemBuilder::new("node", node.into_subsystem()));
        }
        nodes.are_up().await;
        root.request_shutdown();
    });
    root.handle_shutdown_requests(SHUTDOWN).await.unwrap();
    counted.count()
}

struct Subsystem {
    depth: u32,
    nodes: Nodes,
}

impl IntoSubsystem<BoxError> for Subsystem {
    async fn run(self, handle: &mut SubsystemHandle) -> Result<(), BoxError> {
        let Self { depth, nodes } = self;
        if depth > 1 {
            for _ in 0..WIDTH {
                let node = Self { depth: depth - 1, nodes: nodes.clone() };
                handle.start(SubsystemBuilder::new("node", node.into_subsystem()));
            }
        }
        nodes.up();
        handle.on_shutdown_requested().await;
        nodes.stopped();
        Ok(())
    }
}

/// The floor: no tree, no names, no errors.
async fn plain_tasks() -> u64 {
    let (nodes, token, mut tasks) = (Nodes::new(NODES), PlainToken::new(), JoinSet::new());
    for _ in 0..NODES {
        let (token, nodes) = (token.child_token(), nodes.clone());
        tasks.spawn(async move {
            nodes.up();
            token.cancelled().await;
            nodes.stopped();
        });
    }
    nodes.are_up().await;
    token.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    nodes.count()
}

/// Named one by one, as the peer needs it.
fn names() -> impl Iterator<Item = String> {
    (0..FLAT).map(|n| format!("service-{n}"))
}

async fn our_services() -> u64 {
    let nodes = Nodes::new(FLAT);
    let services = scope("services", async |cx: Cx<Infallible>| {
        for name in names() {
            let (service, nodes) = (cx.clone(), nodes.clone());
            cx.spawn(name, async move {
                serve(&service, &nodes).await;
                Ok(())
            });
        }
        nodes.are_up().await;
        cx.cancel("shutdown");
        Ok(())
    });
    services.await.unwrap();
    nodes.count()
}

#[derive(Clone)]
struct Supervised(Nodes);

impl SupervisedTask for Supervised {
    async fn run(self, cancel: CancellationToken) -> TaskResult {
        self.0.up();
        cancel.cancelled().await;
        self.0.stopped();
        Ok(())
    }
}

async fn supervised() -> u64 {
    let nodes = Nodes::new(FLAT);
    let mut supervisor = SupervisorBuilder::new().with_stop_timeout(SHUTDOWN);
    for name in names() {
        supervisor = supervisor.with_task(&name, Supervised(nodes.clone()));
    }
    let supervisor = supervisor.spawn();
    nodes.are_up().await;
    supervisor.shutdown().await.unwrap();
    nodes.count()
}
