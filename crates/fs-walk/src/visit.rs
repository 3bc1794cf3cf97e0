//! Walking on the calling thread, with help from threads that live as long as the call.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use tidegate_core::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::entry::EntryRef;
use crate::error::WalkError;
use crate::job::Job;
use crate::run::{CancelHook, Run, Stop};
use crate::sorted::{self, Ahead};
use crate::state::{lock, queue::WorkQueue};
use crate::summary::Summary;
use crate::walk::Order;
use crate::worker::{self, Hire, Sink};

/// How to go on after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// Go on; read the entry if it is a directory.
    Continue,
    /// Go on, but do not read the entry if it is a directory.
    Skip,
    /// End the walk. Other threads may deliver a few more entries before they notice.
    Quit,
}

/// Takes what one thread of [`Walk::visit`](crate::Walk::visit) finds.
///
/// A closure is a visitor if its parameter is written out:
/// `|entry: Result<EntryRef<'_>, WalkError>| ..`.
pub trait Visitor {
    /// Takes an entry, or an error about one path.
    fn entry(&mut self, entry: Result<EntryRef<'_>, WalkError>) -> Flow;
}

impl<F: FnMut(Result<EntryRef<'_>, WalkError>) -> Flow> Visitor for F {
    fn entry(&mut self, entry: Result<EntryRef<'_>, WalkError>) -> Flow {
        self(entry)
    }
}

struct VisitorSink<V>(V);

impl<V: Visitor> Sink for VisitorSink<V> {
    #[inline]
    fn entry(&mut self, entry: EntryRef<'_>) -> Flow {
        self.0.entry(Ok(entry))
    }

    fn error(&mut self, error: WalkError) -> Flow {
        self.0.entry(Err(error))
    }

    #[inline]
    fn holds_back(&self) -> bool {
        false
    }

    fn flush(&mut self) -> Flow {
        Flow::Continue
    }
}

/// Walks with one visitor per thread.
pub(crate) fn visit<V, F>(run: Run, make: &F) -> Result<Summary, WalkError>
where
    V: Visitor,
    F: Fn(usize) -> V + Sync,
{
    match run.config.order {
        Order::Any => visit_any(run, make),
        Order::Sorted => visit_sorted(run, make),
    }
}

/// What all threads are joined to see.
fn finish(run: &Run) -> Result<Summary, WalkError> {
    run.log_end();
    if let Some(payload) = run.take_panic() {
        resume_unwind(payload);
    }
    run.cancellation().map_or_else(|| Ok(run.summary()), Err)
}

struct Unordered {
    run: Run,
    queue: WorkQueue<Job>,
}

impl Stop for Unordered {
    fn run(&self) -> &Run {
        &self.run
    }

    fn wake_all(&self) {
        drop(self.queue.stop());
    }
}

fn visit_any<V, F>(run: Run, make: &F) -> Result<Summary, WalkError>
where
    V: Visitor,
    F: Fn(usize) -> V + Sync,
{
    let roots = (0..run.config.roots.len()).rev().map(Job::Root).collect();
    let shared = Arc::new(Unordered { run, queue: WorkQueue::new(roots) });
    let hook = CancelHook::new(&shared);
    let started = AtomicUsize::new(1);
    if shared.queue.register() {
        std::thread::scope(|scope| {
            let handles = Handles::default();
            let helpers = Arc::clone(&handles);
            Member { shared: &shared, make, started: &started, scope, handles }.run(0);
            join(&helpers);
        });
    }
    drop(hook);
    finish(&shared.run)
}

/// One thread's view of the team; every member may start the next.
struct Member<'scope, 'env, F> {
    shared: &'env Arc<Unordered>,
    make: &'env F,
    started: &'env AtomicUsize,
    scope: &'scope Scope<'scope, 'env>,
    handles: Handles<'scope>,
}

impl<V, F> Member<'_, '_, F>
where
    V: Visitor,
    F: Fn(usize) -> V + Sync,
{
    fn run(&self, index: usize) {
        let Unordered { run, queue } = &**self.shared;
        run.guard(|| worker::work(run, queue, &mut VisitorSink((self.make)(index)), self));
        if run.stopped() {
            drop(queue.stop());
        }
        queue.unregister();
    }
}

impl<V, F> Hire for Member<'_, '_, F>
where
    V: Visitor,
    F: Fn(usize) -> V + Sync,
{
    fn hire(&self) {
        let Some(index) = next_index(self.started, self.shared.run.config.threads) else { return };
        if !self.shared.queue.register() {
            return;
        }
        let &Self { shared, make, started, scope, .. } = self;
        let handles = Arc::clone(&self.handles);
        let thread = move || Member { shared, make, started, scope, handles }.run(index);
        match builder(index).spawn_scoped(scope, thread) {
            Ok(handle) => lock(&self.handles).push(handle),
            // It goes on with the threads there are.
            Err(_) => shared.queue.unregister(),
        }
    }
}

type Handles<'scope> = Arc<Mutex<Vec<ScopedJoinHandle<'scope, ()>>>>;

/// Waits for threads to be gone, where the end of the scope waits for their closures only.
fn join(handles: &Handles<'_>) {
    loop {
        // A thread may start another before it ends: ask again after each.
        let Some(handle) = lock(handles).pop() else { return };
        // Its panic, if any, was caught and kept.
        drop(handle.join());
    }
}

/// The index of one more thread, if there may be one.
pub(crate) fn next_index(started: &AtomicUsize, threads: usize) -> Option<usize> {
    if started.load(Ordering::Relaxed) >= threads {
        return None;
    }
    let index = started.fetch_add(1, Ordering::Relaxed);
    (index < threads).then_some(index)
}

pub(crate) fn builder(index: usize) -> Builder {
    Builder::new().name(format!("tidegate-walk-{index}"))
}

struct Ordered {
    run: Run,
    ahead: Ahead,
}

impl Stop for Ordered {
    fn run(&self) -> &Run {
        &self.run
    }

    fn wake_all(&self) {
        self.ahead.stop();
    }
}

fn visit_sorted<V, F>(run: Run, make: &F) -> Result<Summary, WalkError>
where
    V: Visitor,
    F: Fn(usize) -> V + Sync,
{
    let ahead = Ahead::new(run.config.window);
    let shared = Arc::new(Ordered { run, ahead });
    let hook = CancelHook::new(&shared);
    let Ordered { run, ahead } = &*shared;
    std::thread::scope(|scope| {
        let (started, handles) = (AtomicUsize::new(1), Handles::default());
        let readers = Readers { shared: &shared, started, scope, handles };
        run.guard(|| sorted::emit(run, ahead, &mut VisitorSink(make(0)), &readers));
        ahead.stop();
        join(&readers.handles);
    });
    drop(hook);
    finish(run)
}

struct Readers<'scope, 'env> {
    shared: &'env Arc<Ordered>,
    started: AtomicUsize,
    scope: &'scope Scope<'scope, 'env>,
    handles: Handles<'scope>,
}

impl Hire for Readers<'_, '_> {
    fn hire(&self) {
        let Some(index) = next_index(&self.started, self.shared.run.config.threads) else { return };
        let Ordered { run, ahead } = &**self.shared;
        let thread = move || {
            run.guard(|| sorted::read_ahead(run, ahead));
            if run.stopped() {
                ahead.stop();
            }
        };
        // Without it the emitter reads more itself.
        if let Ok(handle) = builder(index).spawn_scoped(self.scope, thread) {
            lock(&self.handles).push(handle);
        }
    }
}
