use proptest::prelude::*;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tidegate_core::{CancelToken, Cause, CauseKind};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (Arc::clone(&wakes), Waker::from(wakes))
}

#[test]
fn a_cause_names_the_line_that_cancelled() {
    let token = CancelToken::new();
    let line = line!() + 1;
    assert!(token.cancel("enough"));
    let cause = token.cause().unwrap();
    assert_eq!((cause.location().file(), cause.location().line()), (file!(), line));
    assert_eq!(cause.kind(), CauseKind::Explicit);
}

#[test]
fn a_cause_carries_a_typed_error_to_every_descendant() {
    let token = CancelToken::new();
    let leaf = token.child().child().child();
    token.cancel(Cause::error(std::io::Error::other("disk on fire")));
    let cause = leaf.cause().unwrap();
    assert_eq!(cause.downcast_ref::<std::io::Error>().unwrap().to_string(), "disk on fire");
}

#[test]
fn siblings_and_ancestors_are_left_alone() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    left.cancel("left");
    assert!(left.is_cancelled() && !right.is_cancelled() && !root.is_cancelled());
    root.cancel("root");
    assert!(right.cause().unwrap().same(&root.cause().unwrap()));
    assert!(!left.cause().unwrap().same(&root.cause().unwrap()), "the first cause stays");
}

#[test]
fn cancelled_wakes_each_waiter_once_and_again_is_ready() {
    let token = CancelToken::new();
    let (wakes, waker) = counted();
    let mut cx = Context::from_waker(&waker);
    let mut one = pin!(token.cancelled());
    let mut two = pin!(token.cancelled_owned());
    assert!(one.as_mut().poll(&mut cx).is_pending());
    assert!(one.as_mut().poll(&mut cx).is_pending());
    assert!(two.as_mut().poll(&mut cx).is_pending());
    token.cancel("now");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    assert!(one.as_mut().poll(&mut cx).is_ready());
    assert!(one.as_mut().poll(&mut cx).is_ready(), "polling again is harmless");
    assert!(two.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_waiter_that_moves_to_another_task_is_woken_there() {
    let token = CancelToken::new();
    let (old, old_waker) = counted();
    let (new, new_waker) = counted();
    let mut waiting = pin!(token.cancelled());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&old_waker)).is_pending());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&new_waker)).is_pending());
    token.cancel("now");
    assert_eq!((old.0.load(Ordering::Relaxed), new.0.load(Ordering::Relaxed)), (0, 1));
}

#[test]
fn a_dropped_waiter_holds_no_waker() {
    let token = CancelToken::new();
    let (wakes, waker) = counted();
    {
        let mut waiting = pin!(token.cancelled());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 1, "a waker outlived its future");
    token.cancel("now");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn run_prefers_cancellation() {
    let token = CancelToken::new();
    assert_eq!(token.run(async { 1 }).await.unwrap(), 1);
    token.cancel("first");
    let mut polled = false;
    let result = token.run(async { polled = true }).await;
    assert!(result.unwrap_err().to_string().contains("first"));
    assert!(!polled, "a cancelled token polls nothing");
}

#[tidegate_testkit::test]
async fn a_shield_lasts_for_its_grace_from_the_cancellation_on() {
    let start = tokio::time::Instant::now();
    let token = CancelToken::new();
    let sleep = |secs| tokio::time::sleep(Duration::from_secs(secs));
    let cancel = async {
        sleep(5).await;
        token.cancel("now");
    };
    // 5 s before the cancellation, and 2 s after it.
    let (done, cut, ()) = tokio::join!(
        token.shield(Duration::from_secs(2), sleep(7)),
        token.shield(Duration::from_secs(2), sleep(8)),
        cancel,
    );
    assert!(done.is_ok());
    assert!(cut.unwrap_err().same(&token.cause().unwrap()));
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    assert_eq!(token.shield(Duration::ZERO, async { 1 }).await.unwrap(), 1, "ready at once");
}

#[tidegate_testkit::test]
async fn a_run_that_is_dropped_drops_its_future() {
    let token = CancelToken::new();
    let (held, dropped) = tokio::sync::oneshot::channel();
    let run = token.run(holds(held));
    assert!(tokio::time::timeout(Duration::from_secs(1), run).await.is_err());
    assert!(dropped.await.is_err());
    assert!(!token.is_cancelled());
}

/// Before the cancellation, and in the grace after it.
#[tidegate_testkit::test]
async fn a_shield_that_is_dropped_drops_its_future() {
    let token = CancelToken::new();
    for is_cancelled in [false, true] {
        assert_eq!(token.is_cancelled(), is_cancelled);
        let (held, dropped) = tokio::sync::oneshot::channel();
        let shield = token.shield(Duration::from_secs(9), holds(held));
        assert!(tokio::time::timeout(Duration::from_secs(1), shield).await.is_err());
        assert!(dropped.await.is_err());
        token.cancel("now");
    }
}

/// Never ends, and has `held` until it is dropped.
async fn holds(held: tokio::sync::oneshot::Sender<()>) {
    let _held = held;
    std::future::pending::<()>().await;
}

/// A naive tree: each node remembers its parent, and the causes of its stop and cancellation.
#[derive(Default)]
struct Oracle(Vec<(Option<usize>, [Option<usize>; 2])>);

impl Oracle {
    fn child(&mut self, of: usize) {
        let inherited = self.0[of].1;
        self.0.push((Some(of), inherited));
    }

    fn stop(&mut self, node: usize, cause: usize) -> bool {
        if self.0[node].1[0].is_some() {
            return false;
        }
        self.0[node].1[0] = Some(cause);
        self.children(node).into_iter().for_each(|child| _ = self.stop(child, cause));
        true
    }

    fn cancel(&mut self, node: usize, cause: usize) -> bool {
        if self.0[node].1[1].is_some() {
            return false;
        }
        self.0[node].1[1] = Some(cause);
        self.0[node].1[0].get_or_insert(cause);
        self.children(node).into_iter().for_each(|child| _ = self.cancel(child, cause));
        true
    }

    fn children(&self, of: usize) -> Vec<usize> {
        (0..self.0.len()).filter(|&node| self.0[node].0 == Some(of)).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Child(usize),
    Stop(usize),
    Cancel(usize),
    Drop(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => any::<usize>().prop_map(Op::Child),
        2 => any::<usize>().prop_map(Op::Stop),
        2 => any::<usize>().prop_map(Op::Cancel),
        1 => any::<usize>().prop_map(Op::Drop),
    ];
    proptest::collection::vec(op, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: if cfg!(miri) { 8 } else { 512 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn trees_behave_like_the_oracle(ops in ops()) {
        let mut oracle = Oracle(vec![(None, [None; 2])]);
        let mut tokens = vec![Some(CancelToken::new())];
        for (step, op) in ops.into_iter().enumerate() {
            let (Op::Child(node) | Op::Stop(node) | Op::Cancel(node) | Op::Drop(node)) = op;
            let node = node % tokens.len();
            // A dropped handle keeps its subtree tied together, but has no new children.
            let Some(token) = &tokens[node] else { continue };
            match op {
                Op::Child(_) => {
                    let child = token.child();
                    tokens.push(Some(child));
                    oracle.child(node);
                }
                Op::Stop(_) => {
                    prop_assert_eq!(token.stop(Cause::error(step)), oracle.stop(node, step));
                }
                Op::Cancel(_) => {
                    prop_assert_eq!(token.cancel(Cause::error(step)), oracle.cancel(node, step));
                }
                Op::Drop(_) => tokens[node] = None,
            }
            for (token, (_, expected)) in tokens.iter().zip(&oracle.0) {
                let Some(token) = token else { continue };
                let causes = [token.stop_cause(), token.cause()]
                    .map(|cause| cause.map(|cause| *cause.downcast_ref::<usize>().unwrap()));
                prop_assert_eq!(causes, *expected);
                prop_assert_eq!(token.is_stopping(), expected[0].is_some());
                prop_assert_eq!(token.is_cancelled(), expected[1].is_some());
            }
        }
    }
}

#[test]
fn a_stop_wakes_those_who_wait_for_it_and_nobody_else() {
    let token = CancelToken::new();
    let leaf = token.child().child();
    let (soft, soft_waker) = counted();
    let (hard, hard_waker) = counted();
    let (mut stopping, mut cancelled) = (pin!(leaf.stopping()), pin!(leaf.cancelled()));
    assert!(stopping.as_mut().poll(&mut Context::from_waker(&soft_waker)).is_pending());
    assert!(cancelled.as_mut().poll(&mut Context::from_waker(&hard_waker)).is_pending());
    let woken = || [&soft, &hard].map(|wakes| wakes.0.load(Ordering::Relaxed));

    assert!(token.stop("drain"));
    assert_eq!(woken(), [1, 0]);
    assert!(!token.stop("again"));
    assert!(leaf.child().is_stopping(), "a child of a stopping token is born stopping");
    let Poll::Ready(cause) = stopping.poll(&mut Context::from_waker(&soft_waker)) else {
        panic!("a stop that was told can be seen")
    };
    assert!(cause.same(&token.stop_cause().unwrap()));
    assert!(cancelled.as_mut().poll(&mut Context::from_waker(&hard_waker)).is_pending());

    assert!(token.cancel("now"));
    assert_eq!(woken(), [1, 1]);
    assert!(leaf.cause().unwrap().to_string().starts_with("now (at "));
}

#[test]
fn a_cancellation_wakes_those_who_wait_for_a_stop() {
    let token = CancelToken::new();
    let (wakes, waker) = counted();
    let mut stopping = pin!(token.stopping());
    assert!(stopping.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(token.cancel("now"));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(stopping.poll(&mut Context::from_waker(&waker)).is_ready());
    assert!(token.stop_cause().unwrap().same(&token.cause().unwrap()));
    assert!(!token.stop("too late"));
}

#[test]
fn a_callback_is_called_once_and_finds_the_whole_tree_cancelled() {
    let token = CancelToken::new();
    let (child, other) = (token.child(), CancelToken::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let (seen, inner, next) = (Arc::clone(&calls), token.clone(), other.clone());
    let registered = token.on_cancel(move |cause| {
        assert!(child.is_cancelled());
        assert!(cause.same(&inner.cause().unwrap()));
        // No lock is held: it may use this token and any other.
        next.cancel(cause.clone());
        inner.on_cancel(move |_| _ = seen.fetch_add(1, Ordering::Relaxed)).keep();
    });
    token.stop("not yet");
    assert!(!other.is_cancelled());
    assert!(token.cancel("now"));
    assert!(other.is_cancelled());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(!registered.unregister(), "it was called");
}

#[test]
fn a_callback_that_is_taken_back_is_dropped_and_never_called() {
    let token = CancelToken::new();
    let alive = Arc::new(());
    let register = || {
        let alive = Arc::clone(&alive);
        token.on_cancel(move |_| panic!("{alive:?} is called"))
    };
    assert!(register().unregister());
    drop(register());
    assert_eq!(Arc::strong_count(&alive), 1);
    token.cancel("now");
}

#[test]
fn a_kept_callback_is_called_though_the_last_handle_of_its_token_is_gone() {
    let token = CancelToken::new();
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let child = token.child();
    child.on_cancel(move |_| tell.send(()).unwrap()).keep();
    // A grandchild keeps the child in the tree.
    let _grandchild = child.child();
    drop(child);
    token.cancel("now");
    told.try_recv().unwrap();
}

#[cfg(feature = "tracing")]
#[test]
fn a_panicking_callback_is_an_event_and_stops_nobody() {
    let events = crate::events::Events::listen();
    let token = CancelToken::new();
    let calls = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let calls = Arc::clone(&calls);
        let callback = token.on_cancel(move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            panic!("from a callback");
        });
        callback.keep();
    }
    assert!(token.cancel("now"));
    token.on_cancel(|_| panic!("from a callback")).keep();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(events.count(&["callback", "from a callback", "now"]), 4);
}

#[test]
fn run_is_ready_at_its_first_poll_after_a_cancellation() {
    let token = CancelToken::new();
    let (_, waker) = counted();
    let mut run = pin!(token.run(std::future::pending::<()>()));
    let mut cx = Context::from_waker(&waker);
    assert!(run.as_mut().poll(&mut cx).is_pending());
    token.cancel("now");
    assert!(matches!(run.as_mut().poll(&mut cx), Poll::Ready(Err(_))));
}
