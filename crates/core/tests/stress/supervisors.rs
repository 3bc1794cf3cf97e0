//! Storms of crashes and orders on a real runtime: run for longer by `cargo xtask stress`.

use crate::disturbed;
use std::{
    fmt,
    future::pending,
    panic::resume_unwind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    Backoff, Cx, Ready, Scope,
    supervisor::{
        AutoShutdown, ChildSpec, Event, EventKind, Handle, Restart, Strategy, Supervisor,
        SupervisorBuilder, SupervisorError,
    },
};
use tidegate_testkit::{LeakGuard, Rng, Seed, scale};
use tokio::{task::yield_now, time::sleep};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

/// What is true at all times, as children and the observer see it.
#[derive(Default)]
struct Watch {
    /// How many lives of each child there are now.
    alive: [AtomicUsize; NAMES.len()],
    lives: AtomicU64,
    faults: Mutex<Vec<String>>,
    /// By the events: which life runs of each name.
    running: Mutex<[Option<u64>; NAMES.len()]>,
}

impl Watch {
    fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn hear(&self, event: &Event) {
        let n = NAMES.iter().position(|name| *name == event.child().as_str()).unwrap();
        let running = &mut self.running.lock().unwrap()[n];
        match event.kind() {
            EventKind::Started if running.is_some() => self.fault(format!("{event}: twice")),
            EventKind::Started => *running = Some(event.incarnation()),
            EventKind::Ended(_) if *running != Some(event.incarnation()) => {
                self.fault(format!("{event}: it did not run"));
            }
            EventKind::Ended(_) => *running = None,
            _ => {}
        }
    }
}

/// A life of a child, from its first poll until it is dropped.
struct Life(Arc<Watch>, usize);

impl Life {
    fn new(watch: &Arc<Watch>, n: usize) -> Self {
        watch.lives.fetch_add(1, Ordering::SeqCst);
        if watch.alive[n].fetch_add(1, Ordering::SeqCst) > 0 {
            watch.fault(format!("two lives of {}", NAMES[n]));
        }
        Self(Arc::clone(watch), n)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.alive[self.1].fetch_sub(1, Ordering::SeqCst);
    }
}

async fn live(cx: Cx<Broken>, mut rng: Rng, ready: Option<Ready<()>>) -> Result<(), Broken> {
    let mut ready = ready;
    for _ in 0..rng.below(4) {
        yield_now().await;
    }
    if rng.one_in(4) {
        sleep(Duration::from_micros(rng.below(1500))).await;
    }
    if !rng.one_in(8) {
        ready.take().map(|ready| ready.up(()));
    }
    if rng.one_in(4) {
        let own = cx.clone();
        cx.spawn("helper", async move {
            own.stopping().await;
            Ok(())
        });
    }
    match rng.below(8) {
        0 => Err(Broken),
        1 => Ok(()),
        // Without the hook, which would print it.
        2 => resume_unwind(Box::new("deliberate")),
        3 => pending().await,
        4 => {
            cx.cancelled().await;
            Err(Broken)
        }
        5 => {
            cx.spawn("bad", async { Err::<(), _>(Broken) });
            pending().await
        }
        _ => {
            cx.stopping().await;
            Ok(())
        }
    }
}

fn child(watch: &Arc<Watch>, n: usize, rng: &mut Rng, is_auto: bool) -> ChildSpec {
    let (watch, seed, count) = (Arc::clone(watch), rng.next_u64(), AtomicU64::new(0));
    let start = move |cx: Cx<Broken>, ready| {
        let rng = Rng::new(seed).stream(count.fetch_add(1, Ordering::SeqCst));
        let life = Life::new(&watch, n);
        async move {
            let _life = life;
            live(cx, rng, ready).await
        }
    };
    let spec = if rng.one_in(3) {
        let spec = ChildSpec::starting(NAMES[n], move |cx, ready| start(cx, Some(ready)));
        spec.start_timeout(Duration::from_millis(1 + rng.below(2)))
    } else {
        ChildSpec::new(NAMES[n], move |cx| start(cx, None))
    };
    let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let restart = restart[usize::try_from(rng.below(3)).unwrap()];
    let spec = spec.restart(restart).stop_grace(Duration::from_micros(rng.below(2000)));
    if is_auto && restart != Restart::Permanent && rng.one_in(2) {
        spec.significant()
    } else {
        spec
    }
}

fn supervisor(watch: &Arc<Watch>, rng: &mut Rng) -> (SupervisorBuilder, bool) {
    let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
    let intensity = if rng.one_in(2) { 1000 } else { u32::try_from(rng.below(10)).unwrap() };
    let is_auto = rng.one_in(3);
    let hear = Arc::clone(watch);
    let mut builder = Supervisor::builder("sup")
        .strategy(strategies[usize::try_from(rng.below(3)).unwrap()])
        .intensity(intensity, Duration::from_secs(60))
        .backoff(Backoff::constant(Duration::from_micros(rng.below(3) * 700)))
        .observer(move |event| hear.hear(event));
    if is_auto {
        builder = builder.auto_shutdown(AutoShutdown::AllSignificant);
    }
    for n in 0..usize::try_from(rng.below(5)).unwrap() {
        let mut spec = child(watch, n, rng, is_auto);
        if n > 0 && rng.one_in(3) {
            spec = spec.after(NAMES[n - 1]);
        }
        builder = builder.child(spec);
    }
    (builder, is_auto)
}

/// Gives orders. The last child is its own: what it says of that must be true.
async fn order(handle: &Handle, watch: &Arc<Watch>, rng: &mut Rng, is_auto: bool) {
    let own = NAMES.len() - 1;
    let is_dead = || watch.alive[own].load(Ordering::SeqCst) == 0;
    for _ in 0..rng.below(30) {
        let n = usize::try_from(rng.below(NAMES.len() as u64 - 1)).unwrap();
        match rng.below(6) {
            0 => drop(handle.terminate(NAMES[n]).await),
            1 => drop(handle.restart(NAMES[n]).await),
            2 => drop(handle.delete(NAMES[n]).await),
            3 => drop(handle.add(child(watch, n, rng, is_auto)).await),
            4 => {
                if handle.add(child(watch, own, rng, is_auto)).await.is_err() {
                    drop(handle.restart(NAMES[own]).await);
                }
                if handle.terminate(NAMES[own]).await.is_ok() {
                    for _ in 0..rng.below(20) {
                        if !is_dead() {
                            watch.fault("a child lived on after it was terminated".to_owned());
                        }
                        yield_now().await;
                    }
                }
            }
            _ => sleep(Duration::from_micros(rng.below(1000))).await,
        }
        drop((handle.children(), handle.history()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stress_supervisors_under_crashes_and_orders() {
    let _disturbed = disturbed();
    let rounds = scale(400);
    let seed = Seed::from_env_or_new("supervisors_under_crashes_and_orders");
    println!("stress: supervisors_under_crashes_and_orders seed={seed}");
    let mut rng = seed.rng();
    let leaks = LeakGuard::current();
    let (mut lives, mut gave_up) = (0, 0);
    for round in 0..rounds {
        let watch = Arc::new(Watch::default());
        let (builder, is_auto) = supervisor(&watch, &mut rng);
        let supervisor = builder.build().unwrap();
        let handle = supervisor.handle();
        let mut rngs = [rng.next_u64(), rng.next_u64()].map(Rng::new);
        let mut outcome = None;
        let result = &mut outcome;
        let app = Scope::builder("app").grace(Duration::MAX).run(async |cx: Cx<Broken>| {
            let [orders, ending] = &mut rngs;
            let script = async {
                order(&handle, &watch, orders, is_auto).await;
                if ending.one_in(2) {
                    cx.stop("softly");
                    sleep(Duration::from_micros(ending.below(500))).await;
                }
                if ending.one_in(4) {
                    return true;
                }
                cx.cancel("enough");
                pending().await
            };
            tokio::select! {
                ended = supervisor.run(&cx) => *result = Some(ended),
                // The run is dropped.
                true = script => {}
            }
            Ok(())
        });
        app.await.ok();
        let alive: usize = watch.alive.iter().map(|n| n.load(Ordering::SeqCst)).sum();
        assert_eq!(alive, 0, "seed {seed}, round {round}: {outcome:?}");
        let faults = watch.faults.lock().unwrap();
        assert!(faults.is_empty(), "seed {seed}, round {round}: {faults:?}");
        assert!(!handle.is_running());
        lives += watch.lives.load(Ordering::SeqCst);
        gave_up += u64::from(matches!(outcome, Some(Err(SupervisorError::GaveUp(_)))));
    }
    assert!(lives > rounds && gave_up > 0, "{lives} lives, gave up {gave_up} times");
    leaks.verify(Duration::from_secs(5)).await.unwrap();
    println!(
        "stress: supervisors_under_crashes_and_orders seed={seed} rounds={rounds} lives={lives}"
    );
}
