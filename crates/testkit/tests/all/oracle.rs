//! Verdicts and witnesses against all permutations of short histories.

use proptest::prelude::*;
use std::fmt::Debug;
use tidegate_testkit::models::{
    Queue, QueueOp, QueueRet, Register, RegisterOp, RegisterRet, Semaphore, SemaphoreOp,
    SemaphoreRet,
};
use tidegate_testkit::{Call, History, Model, Operation, Verdict, check_linearizable, scale};

/// What the oracle sees of an operation; without the last, it is optional.
type Seen<'a, M> =
    (&'a Operation<<M as Model>::Op, <M as Model>::Ret>, Option<&'a <M as Model>::Ret>);

fn seen<M: Model>(operation: &Operation<M::Op, M::Ret>) -> Seen<'_, M> {
    (operation, operation.ret())
}

/// Whether some permutation of all that must be in it and of some that may will do: the
/// definition, tried out.
fn has_order<M: Model>(model: &M, left: &[Seen<'_, M>], state: &M::State) -> bool {
    if left.iter().all(|(_, ret)| ret.is_none()) {
        return true;
    }
    left.iter().enumerate().any(|(index, (operation, ret))| {
        let mut rest = left.to_vec();
        rest.remove(index);
        let (over, rest): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|(other, _)| other.precedes(operation));
        over.iter().all(|(_, ret)| ret.is_none())
            && model
                .step(state, operation.op(), *ret)
                .into_iter()
                .any(|state| has_order(model, &rest, &state))
    })
}

/// What happens next: a client begins, or its operation ends or is cancelled.
#[derive(Clone, Debug)]
struct Event<O, R> {
    client: usize,
    op: O,
    /// None is a cancellation.
    ret: Option<R>,
}

/// Written by hand, as it were. What a call returns is made to fit its operation.
fn history_of<O: Clone, D, R>(events: Vec<Event<O, D>>, fit: fn(&O, D) -> R) -> History<O, R> {
    let history = History::new();
    let mut clients: [Option<(O, Call<O, R>)>; 3] = [None, None, None];
    let mut begun = 0;
    for Event { client, op, ret } in events {
        match (clients[client].take(), ret) {
            (None, _) if begun == 7 => {}
            (None, _) => {
                begun += 1;
                clients[client] = Some((op.clone(), history.client(client).begin(op)));
            }
            (Some((op, call)), Some(drawn)) => call.end(fit(&op, drawn)),
            (Some((_, call)), None) => drop(call),
        }
    }
    history
}

fn events<O, R>(
    op: impl Strategy<Value = O>,
    ret: impl Strategy<Value = R>,
) -> impl Strategy<Value = Vec<Event<O, R>>>
where
    O: Clone + Debug,
    R: Clone + Debug,
{
    let ret = prop_oneof![1 => Just(None), 5 => ret.prop_map(Some)];
    let event = (0..3_usize, op, ret).prop_map(|(client, op, ret)| Event { client, op, ret });
    proptest::collection::vec(event, 0..20)
}

fn agrees<M>(model: &M, history: &History<M::Op, M::Ret>) -> Result<bool, TestCaseError>
where
    M: Model<Key = ()>,
    M::Op: Clone + Debug,
    M::Ret: Clone + Debug,
{
    let all = history.operations();
    let all: Vec<_> = all.iter().map(seen::<M>).collect();
    let expected = has_order(model, &all, &model.init(&()));
    let verdict = check_linearizable(model, history);
    let is_known = !matches!(verdict, Verdict::Inconclusive { .. });
    prop_assert!(is_known);
    prop_assert_eq!(verdict.is_linearizable(), expected, "{}", verdict);
    let Some(witness) = verdict.witness() else { return Ok(expected) };
    // What is blamed has no order, whatever the others did, and has one without any of its own.
    prop_assert!(witness.is_minimal());
    let others = witness.others().iter().map(|operation| (operation, None::<&M::Ret>));
    let blamed = witness.operations().iter().map(seen::<M>);
    let mut known: Vec<_> = blamed.chain(others).collect();
    prop_assert!(!has_order(model, &known, &model.init(&())), "{}", witness);
    for index in 0..witness.operations().len() {
        let returned = known[index].1.take();
        prop_assert!(has_order(model, &known, &model.init(&())), "{} of {}", index, witness);
        known[index].1 = returned;
    }
    Ok(expected)
}

fn config() -> ProptestConfig {
    let cases = u32::try_from(scale(2_000)).unwrap();
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn registers_agree(events in events(
        prop_oneof![
            Just(RegisterOp::Read),
            (0..3_u8).prop_map(RegisterOp::Write),
            (0..3_u8, 0..3_u8).prop_map(|(old, new)| RegisterOp::CompareAndSet(old, new)),
        ],
        (0..3_u8, any::<bool>()),
    )) {
        // A return of the kind of its operation.
        let history = history_of(events, |op, (value, was)| match op {
            RegisterOp::Read => RegisterRet::Value(value),
            RegisterOp::Write(_) => RegisterRet::Written,
            RegisterOp::CompareAndSet(..) => RegisterRet::Swapped(was),
        });
        agrees(&Register::new(0), &history)?;
    }

    #[test]
    fn queues_agree(events in events(
        prop_oneof![(0..3_u8).prop_map(QueueOp::Push), Just(QueueOp::Pop)],
        prop_oneof![1 => Just(None), 3 => (0..3_u8).prop_map(Some)],
    )) {
        let history = history_of(events, |op, value| match (op, value) {
            (QueueOp::Push(_), Some(_)) => QueueRet::Pushed,
            (QueueOp::Push(_), None) => QueueRet::Full,
            (QueueOp::Pop, Some(value)) => QueueRet::Popped(value),
            (QueueOp::Pop, None) => QueueRet::Empty,
        });
        agrees(&Queue::bounded(2), &history)?;
        agrees(&Queue::unbounded(), &history)?;
    }

    #[test]
    fn semaphores_agree(events in events(
        prop_oneof![
            (1..3_usize).prop_map(SemaphoreOp::Acquire),
            (1..3_usize).prop_map(SemaphoreOp::TryAcquire),
            (1..3_usize).prop_map(SemaphoreOp::Release),
        ],
        any::<bool>(),
    )) {
        let history = history_of(events, |op, is_refused| match op {
            SemaphoreOp::TryAcquire(_) if is_refused => SemaphoreRet::Refused,
            SemaphoreOp::Acquire(_) | SemaphoreOp::TryAcquire(_) => SemaphoreRet::Acquired,
            SemaphoreOp::Release(_) => SemaphoreRet::Released,
        });
        let strict = agrees(&Semaphore::new(2), &history)?;
        let spurious = agrees(&Semaphore::new(2).with_spurious_refusals(), &history)?;
        prop_assert!(spurious || !strict);
    }
}
