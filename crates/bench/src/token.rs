//! Tokens: the check, handles, children and waiters.

use crate::{
    Plan,
    alloc::allocated,
    contest::{Contest, Cost, Ratio},
};
use futures::task::{ArcWake, waker};
use std::{
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    thread,
};
use tidegate_core::CancelToken;
use tokio_util::sync::CancellationToken;

const PEER: &str = "CancellationToken";

/// How often the cheap operations are done in one measurement.
const TIMES: u64 = 1_000_000;
const SIBLINGS: usize = 10_000;
const DEPTH: usize = 1_000;

pub(crate) fn run(plan: Plan) -> Vec<Ratio> {
    let rounds = plan.rounds(51);
    let mut ratios = checks(rounds);
    ratios.extend(handles(rounds));
    ratios.extend(waiters(rounds));
    ratios.extend(trees(rounds));
    ratios
}

/// What both kinds of token can do.
trait Token: Clone + Send + Sync {
    fn root() -> Self;
    fn child(&self) -> Self;
    fn is_cancelled(&self) -> bool;
    fn cancel(&self);
    /// Registers a waiter and takes it back; false if it did not have to wait.
    fn wait(&self, waker: &Waker) -> bool;
}

impl Token for CancelToken {
    fn root() -> Self {
        Self::new()
    }

    fn child(&self) -> Self {
        self.child()
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled()
    }

    fn cancel(&self) {
        self.cancel("the end");
    }

    fn wait(&self, waker: &Waker) -> bool {
        pin!(self.cancelled()).poll(&mut Context::from_waker(waker)).is_pending()
    }
}

impl Token for CancellationToken {
    fn root() -> Self {
        Self::new()
    }

    fn child(&self) -> Self {
        self.child_token()
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled()
    }

    fn cancel(&self) {
        self.cancel();
    }

    fn wait(&self, waker: &Waker) -> bool {
        pin!(self.cancelled()).poll(&mut Context::from_waker(waker)).is_pending()
    }
}

fn checks(rounds: usize) -> Vec<Ratio> {
    let seventh = 1.0 / 7.0;
    let mut ratios = Contest::new("is_cancelled", Cost::Wall, rounds, || check::<CancelToken>(1))
        .against(PEER, seventh, || check::<CancellationToken>(1))
        .run();
    let two =
        Contest::new("is_cancelled, 2 threads", Cost::Wall, rounds, || check::<CancelToken>(2))
            .against(PEER, seventh, || check::<CancellationToken>(2));
    ratios.extend(two.run());
    let op = "is_cancelled while a thread makes and drops children";
    let churned = Contest::new(op, Cost::Wall, rounds, check_while_churned::<CancelToken>).against(
        PEER,
        seventh,
        check_while_churned::<CancellationToken>,
    );
    ratios.extend(churned.run());
    ratios
}

/// Checks a live token from so many threads at once.
fn check<T: Token>(threads: u64) -> u64 {
    let token = T::root();
    thread::scope(|scope| {
        let each = || live_checks(&token);
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(each)).collect();
        let own = each();
        own + others.into_iter().map(|other| other.join().unwrap()).sum::<u64>()
    })
}

fn live_checks(token: &impl Token) -> u64 {
    (0..4 * TIMES).map(|_| u64::from(!black_box(token).is_cancelled())).sum()
}

fn check_while_churned<T: Token>() -> u64 {
    let token = T::root();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(black_box(token.child()));
            }
        });
        let checks = live_checks(&token);
        is_over.store(true, Ordering::Relaxed);
        checks
    })
}

fn handles(rounds: usize) -> Vec<Ratio> {
    let mut ratios = Contest::new("clone and drop", Cost::Wall, rounds, clones::<CancelToken>)
        .against(PEER, 0.5, clones::<CancellationToken>)
        .run();
    let child = Contest::new("child and drop", Cost::Wall, rounds, children::<CancelToken>)
        .against(PEER, 0.7, children::<CancellationToken>);
    ratios.extend(child.run());
    // Twice as many less as many: what the parent allocates once is not a child's.
    let all = |case, times| (allocated(case, times).count * times as f64).round();
    let each = |case| (all(case, 2 * TIMES) - all(case, TIMES)) / TIMES as f64;
    let (ours, theirs) = (each("child+drop ours"), each("child+drop CancellationToken"));
    for (peer, median, target) in [("child", ours, Some(1.0)), (PEER, ours / theirs, None)] {
        let (op, peer, unit) = ("allocations, child and drop".into(), peer.into(), "count");
        let (work, rounds) = (TIMES, 1);
        ratios.push(Ratio { op, peer, unit, median, min: median, target, work, rounds });
    }
    ratios
}

fn clones<T: Token>() -> u64 {
    let token = T::root();
    (0..TIMES).map(|_| u64::from(!black_box(token.clone()).is_cancelled())).sum()
}

fn children<T: Token>() -> u64 {
    let token = T::root();
    (0..TIMES).map(|_| u64::from(!black_box(token.child()).is_cancelled())).sum()
}

fn waiters(rounds: usize) -> Vec<Ratio> {
    Contest::new("cancelled(): wait and drop", Cost::Wall, rounds, wait::<CancelToken>)
        .against(PEER, 0.8, wait::<CancellationToken>)
        .run()
}

/// A waker like that of a task: a clone of it counts a reference.
struct Counted;

impl ArcWake for Counted {
    fn wake_by_ref(_: &Arc<Self>) {}
}

fn wait<T: Token>() -> u64 {
    let (token, waker) = (T::root(), waker(Arc::new(Counted)));
    (0..TIMES).map(|_| u64::from(black_box(&token).wait(&waker))).sum()
}

fn trees(rounds: usize) -> Vec<Ratio> {
    let op = format!("chain of {DEPTH}: made, cancelled, dropped");
    let mut ratios = Contest::new(op, Cost::Wall, rounds, chain::<CancelToken>)
        .against(PEER, None, chain::<CancellationToken>)
        .run();
    let orders = [SIBLINGS, SIBLINGS / 10].map(random_order);
    let op = format!("{SIBLINGS} siblings dropped in random order");
    let siblings = Contest::new(op, Cost::Wall, rounds, || siblings::<CancelToken>(&orders[0]))
        .against(PEER, None, || siblings::<CancellationToken>(&orders[0]))
        .against("ten times a tenth of them", 2.0, || {
            (0..10).map(|_| siblings::<CancelToken>(&orders[1])).sum::<u64>()
        });
    ratios.extend(siblings.run());
    ratios
}

/// Each token is kept by the next alone, as nested scopes keep theirs.
fn chain<T: Token>() -> u64 {
    (0..100)
        .map(|_| {
            let root = T::root();
            let leaf = (0..DEPTH).fold(root.clone(), |token, _| token.child());
            root.cancel();
            u64::from(leaf.is_cancelled())
        })
        .sum()
}

fn siblings<T: Token>(order: &[usize]) -> u64 {
    let root = T::root();
    let mut children: Vec<_> = order.iter().map(|_| Some(root.child())).collect();
    order.iter().map(|&index| u64::from(children[index].take().is_some())).sum()
}

/// The numbers below `len`, shuffled by a generator that starts the same each time.
fn random_order(len: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..len).collect();
    let mut state = 1_u64;
    for left in (1..=len).rev() {
        // Knuth's multiplier; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(left - 1, (state >> 33) as usize % left);
    }
    order
}
