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

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_drops_its_future() {
    let token = CancelToken::new();
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let run = token.run(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    assert!(tokio::time::timeout(Duration::from_secs(1), run).await.is_err());
    assert!(dropped.await.is_err());
    assert!(!token.is_cancelled());
}

/// A naive tree: each node remembers its parent and its cause.
#[derive(Default)]
struct Oracle(Vec<(Option<usize>, Option<usize>)>);

impl Oracle {
    fn cancel(&mut self, node: usize, cause: usize) -> bool {
        if self.0[node].1.is_some() {
            return false;
        }
        self.0[node].1 = Some(cause);
        for child in 0..self.0.len() {
            if self.0[child].0 == Some(node) {
                self.cancel(child, cause);
            }
        }
        true
    }
}

#[derive(Clone, Debug)]
enum Op {
    Child(usize),
    Cancel(usize),
    Drop(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => any::<usize>().prop_map(Op::Child),
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
        let mut oracle = Oracle(vec![(None, None)]);
        let mut tokens = vec![Some(CancelToken::new())];
        for (step, op) in ops.into_iter().enumerate() {
            match op {
                Op::Child(of) => {
                    let of = of % tokens.len();
                    // A dropped handle keeps its subtree tied together, but has no new children.
                    let Some(parent) = &tokens[of] else { continue };
                    tokens.push(Some(parent.child()));
                    let inherited = oracle.0[of].1;
                    oracle.0.push((Some(of), inherited));
                }
                Op::Cancel(node) => {
                    let node = node % tokens.len();
                    let Some(token) = &tokens[node] else { continue };
                    let won = token.cancel(Cause::error(step));
                    prop_assert_eq!(won, oracle.cancel(node, step));
                }
                Op::Drop(node) => {
                    let node = node % tokens.len();
                    tokens[node] = None;
                }
            }
            for (token, (_, expected)) in tokens.iter().zip(&oracle.0) {
                let Some(token) = token else { continue };
                let cause = token.cause().map(|cause| *cause.downcast_ref::<usize>().unwrap());
                prop_assert_eq!(cause, *expected);
                prop_assert_eq!(token.is_cancelled(), expected.is_some());
            }
        }
    }
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
