use super::{record, share};
use crate::models::{Queue, QueueOp, QueueRet};
use crate::{
    Client, Ctx, History, Operation, Stress, StressFailure, StressReport, check_linearizable,
};
use std::collections::BTreeSet;

/// A queue of many producers and many consumers whose operations do not wait.
///
/// One that waits is put through the suite by what it offers beside: `try_send` and `try_recv`.
pub trait TryQueue: Send + Sync {
    /// Puts a value at the end.
    ///
    /// # Errors
    ///
    /// With the value, if there is no room for it.
    fn try_push(&self, value: u64) -> Result<(), u64>;

    /// Takes the first value; none, if it is empty.
    fn try_pop(&self) -> Option<u64>;
}

type QueueHistory = History<QueueOp<u64>, QueueRet<u64>>;
type QueueOperation = Operation<QueueOp<u64>, QueueRet<u64>>;

struct Subject<Q> {
    queue: Q,
    history: QueueHistory,
}

/// Puts a queue with room for `capacity` values, or without a bound, through races of producers
/// and consumers: no value is lost, made up or delivered twice, those of one producer stay in
/// their order, a value that is refused is handed back, and the whole is linearizable.
///
/// ```
/// use std::{collections::VecDeque, sync::Mutex};
/// use tidegate_testkit::Stress;
/// use tidegate_testkit::conformance::{TryQueue, queue};
///
/// struct Locked(Mutex<VecDeque<u64>>);
///
/// impl TryQueue for Locked {
///     fn try_push(&self, value: u64) -> Result<(), u64> {
///         let mut values = self.0.lock().unwrap();
///         if values.len() == 2 { Err(value) } else { Ok(values.push_back(value)) }
///     }
///
///     fn try_pop(&self) -> Option<u64> {
///         self.0.lock().unwrap().pop_front()
///     }
/// }
///
/// # #[cfg(not(miri))]
/// queue(Stress::new("a locked queue"), Some(2), || Locked(Mutex::default())).unwrap();
/// ```
///
/// # Errors
///
/// As [`Stress::try_run`], with what was lost or the timeline of what has no order.
///
/// # Panics
///
/// As [`Stress::try_run`].
pub fn queue<Q: TryQueue>(
    stress: Stress,
    capacity: Option<usize>,
    mut make: impl FnMut() -> Q,
) -> Result<StressReport, StressFailure> {
    let model = capacity.map_or_else(Queue::unbounded, Queue::bounded);
    stress.try_run(
        |_rng| Subject { queue: make(), history: History::new() },
        work,
        |subject, threads| {
            drain(subject, threads)?;
            let operations = subject.history.operations();
            conserves(&operations)?;
            keeps_order(&operations)?;
            check_linearizable(&model, &subject.history).into_result()
        },
    )
}

/// What a thread does: pushes and pops, one as likely as the other.
fn work<Q: TryQueue>(subject: &Subject<Q>, ctx: &mut Ctx) {
    let client = subject.history.client(ctx.index());
    let first = (ctx.index() as u64) << 32;
    for n in 0..share(ctx.threads(), ctx.rng()) {
        let is_push = ctx.rng().one_in(2);
        ctx.point();
        if is_push {
            let value = first + n;
            if let Err(back) = push(subject, &client, value) {
                assert_eq!(back, value, "another value came back than was refused");
            }
        } else {
            pop(subject, &client);
        }
    }
}

/// Takes out what the threads have left. Each value was pushed, so there are no more of them.
fn drain<Q: TryQueue>(subject: &Subject<Q>, threads: usize) -> Result<(), String> {
    let pushed = subject.history.operations().len();
    let client = subject.history.client(threads);
    if (0..=pushed).any(|_| pop(subject, &client).is_none()) {
        Ok(())
    } else {
        Err(format!("it has no end: {pushed} operations, and more values"))
    }
}

fn push<Q: TryQueue>(
    subject: &Subject<Q>,
    client: &Client<QueueOp<u64>, QueueRet<u64>>,
    value: u64,
) -> Result<(), u64> {
    let ret = |result: &Result<(), u64>| match result {
        Ok(()) => QueueRet::Pushed,
        Err(_) => QueueRet::Full,
    };
    record(client, QueueOp::Push(value), || subject.queue.try_push(value), ret)
}

fn pop<Q: TryQueue>(
    subject: &Subject<Q>,
    client: &Client<QueueOp<u64>, QueueRet<u64>>,
) -> Option<u64> {
    let ret = |result: &Option<u64>| result.map_or(QueueRet::Empty, QueueRet::Popped);
    record(client, QueueOp::Pop, || subject.queue.try_pop(), ret)
}

/// Of what has been taken out as well, each value comes out once.
fn conserves(operations: &[QueueOperation]) -> Result<(), String> {
    let mut inside: BTreeSet<u64> = operations.iter().filter_map(pushed).collect();
    for value in operations.iter().filter_map(popped) {
        if !inside.remove(&value) {
            return Err(format!("{value:#x} came out twice, or was never put in"));
        }
    }
    if inside.is_empty() { Ok(()) } else { Err(format!("lost: {inside:#x?}")) }
}

/// The values of each producer come out in the order in which they were put in, as far as one pop
/// was over before the other.
fn keeps_order(operations: &[QueueOperation]) -> Result<(), String> {
    let pops: Vec<_> = operations.iter().filter_map(|pop| Some((pop, popped(pop)?))).collect();
    for (first, value) in &pops {
        let is_older = |other: &u64| other >> 32 == value >> 32 && other < value;
        let late = pops.iter().find(|(pop, other)| first.precedes(pop) && is_older(other));
        if let Some((_, older)) = late {
            return Err(format!("{value:#x} came out before {older:#x}, of the same producer"));
        }
    }
    Ok(())
}

fn pushed(operation: &QueueOperation) -> Option<u64> {
    match (operation.op(), operation.ret()) {
        (QueueOp::Push(value), Some(QueueRet::Pushed)) => Some(*value),
        _ => None,
    }
}

fn popped(operation: &QueueOperation) -> Option<u64> {
    match operation.ret() {
        Some(QueueRet::Popped(value)) => Some(*value),
        _ => None,
    }
}
