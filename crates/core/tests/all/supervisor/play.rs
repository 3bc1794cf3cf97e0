//! Children that do what a script says and keep a diary.

use std::{
    convert::Infallible,
    fmt,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidegate_core::{
    Backoff, Cx, Ready, Scope,
    supervisor::{ChildSpec, ChildState, Handle, Supervisor, SupervisorBuilder, SupervisorError},
};
use tokio::time::{Instant, sleep};

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What a child does in one life; times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Goes on until it is asked to end.
    Serve,
    FailAfter(u64),
    PanicAfter(u64),
    FinishAfter(u64),
    /// Ends so long after it was asked to.
    Linger(u64),
    /// Hears of a cancellation alone.
    DeafToStop,
    /// Goes on until it is dropped.
    Deaf,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broke", self.0)
    }
}

/// When children were started and when they were gone, in seconds since its beginning.
#[derive(Clone)]
pub(crate) struct Diary(Arc<Inner>);

struct Inner {
    since: Instant,
    lines: Mutex<Vec<String>>,
    alive: AtomicUsize,
}

impl Diary {
    pub(crate) fn new() -> Self {
        let (lines, alive) = (Mutex::default(), AtomicUsize::new(0));
        Self(Arc::new(Inner { since: Instant::now(), lines, alive }))
    }

    pub(crate) fn note(&self, text: &str) {
        let at = self.0.since.elapsed().as_secs_f64();
        self.0.lines.lock().unwrap().push(format!("{at} {text}"));
    }

    /// What is in it, and nothing from now on but what is new.
    pub(crate) fn read(&self) -> String {
        std::mem::take(&mut *self.0.lines.lock().unwrap()).join(", ")
    }

    pub(crate) fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// A child with one act for each of its lives; it serves in those after them.
    #[track_caller]
    pub(crate) fn child(&self, name: &'static str, acts: &[Act]) -> ChildSpec {
        let play = self.play(name, acts);
        ChildSpec::new(name, play)
    }

    /// A child that is up after `secs`, in each of its lives.
    #[track_caller]
    pub(crate) fn slow(&self, name: &'static str, secs: u64, acts: &[Act]) -> ChildSpec {
        let (play, diary) = (self.play(name, acts), self.clone());
        ChildSpec::starting(name, move |cx, ready: Ready<()>| {
            let (playing, diary) = (play(cx), diary.clone());
            async move {
                let up = async {
                    sleep(Duration::from_secs(secs)).await;
                    diary.note(&format!("up {name}"));
                    ready.up(()).ok();
                    pending::<Result<(), Broken>>().await
                };
                tokio::select! { biased; ended = playing => ended, ended = up => ended }
            }
        })
    }

    fn play(
        &self,
        name: &'static str,
        acts: &[Act],
    ) -> impl Fn(Cx<Broken>) -> Playing + Send + Sync + 'static {
        let (diary, acts, life) = (self.clone(), acts.to_vec(), AtomicUsize::new(0));
        move |cx| {
            let act = acts.get(life.fetch_add(1, Ordering::SeqCst)).copied();
            let alive = Alive::new(&diary, name);
            Box::pin(async move {
                let _alive = alive;
                perform(name, act.unwrap_or(Act::Serve), &cx).await
            })
        }
    }
}

pub(crate) type Playing = std::pin::Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;

async fn perform(name: &'static str, act: Act, cx: &Cx<Broken>) -> Result<(), Broken> {
    match act {
        Act::Serve => {
            cx.stopping().await;
            Ok(())
        }
        Act::FailAfter(time) => {
            cx.run(sleep(secs(time))).await.ok();
            Err(Broken(name))
        }
        Act::PanicAfter(time) => {
            sleep(secs(time)).await;
            panic!("{name} panicked on purpose");
        }
        Act::FinishAfter(time) => {
            cx.run(sleep(secs(time))).await.ok();
            Ok(())
        }
        Act::Linger(time) => {
            cx.stopping().await;
            sleep(secs(time)).await;
            Ok(())
        }
        Act::DeafToStop => {
            cx.cancelled().await;
            Ok(())
        }
        Act::Deaf => pending().await,
    }
}

/// Says that a child lives until it is dropped, and that it is the only one of its name.
struct Alive(Diary, &'static str);

impl Alive {
    fn new(diary: &Diary, name: &'static str) -> Self {
        diary.0.alive.fetch_add(1, Ordering::SeqCst);
        diary.note(&format!("+{name}"));
        Self(diary.clone(), name)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Ordering::SeqCst);
        self.0.note(&format!("-{}", self.1));
    }
}

/// A supervisor that restarts at once, ten times in ten seconds.
pub(crate) fn sup() -> SupervisorBuilder {
    Supervisor::builder("sup").backoff(Backoff::constant(Duration::ZERO)).intensity(10, secs(10))
}

/// The same with a delay of so many seconds.
pub(crate) fn sup_after(delay: u64) -> SupervisorBuilder {
    use tidegate_core::Jitter;
    sup().backoff(Backoff::constant(secs(delay)).jitter(Jitter::None))
}

pub(crate) fn state(handle: &Handle, child: &str) -> ChildState {
    handle.child(child).unwrap().state
}

/// Runs it beside a script, which gets a handle and the scope around.
pub(crate) async fn run(
    supervisor: SupervisorBuilder,
    script: impl AsyncFnOnce(Handle, Cx<Infallible>),
) -> Result<(), SupervisorError> {
    let supervisor = supervisor.build().unwrap();
    let mut result = None;
    let outcome = &mut result;
    let app = Scope::builder("app").grace(Duration::MAX);
    let ended = app.run(async |cx: Cx<Infallible>| {
        let script = script(supervisor.handle(), cx.clone());
        let (ended, ()) = tokio::join!(supervisor.run(&cx), script);
        *outcome = Some(ended);
        Ok(())
    });
    ended.await.ok();
    result.unwrap()
}

/// Runs it for so many seconds, then cancels it. Returns what was in the diary by then.
pub(crate) async fn watch(diary: &Diary, supervisor: SupervisorBuilder, time: u64) -> String {
    let mut read = String::new();
    let ended = run(supervisor, async |_, cx| {
        sleep(secs(time)).await;
        read = diary.read();
        cx.cancel("the test ends");
    });
    let error = ended.await.unwrap_err();
    assert!(matches!(error, SupervisorError::Cancelled(_)), "{error}");
    assert_eq!(diary.alive(), 0);
    read
}
