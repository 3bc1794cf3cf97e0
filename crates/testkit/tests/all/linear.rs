//! Verdicts on histories written by hand, on long ones, and what a witness says.

use tidegate_testkit::models::{
    Counter, CounterOp, Map, MapOp, Queue, QueueOp, QueueRet, Register, RegisterOp, RegisterRet,
    Semaphore, SemaphoreOp, SemaphoreRet, Set, SetOp,
};
use tidegate_testkit::{
    Call, History, Model, Rng, Verdict, check_linearizable, check_linearizable_within, scale,
};

use QueueOp::{Pop, Push};
use QueueRet::{Empty, Full, Popped, Pushed};
use RegisterOp::{CompareAndSet, Read, Write};
use RegisterRet::{Swapped, Value, Written};

type Registers = History<RegisterOp<u64>, RegisterRet<u64>>;
type Queues = History<QueueOp<u64>, QueueRet<u64>>;

fn register(history: &Registers) -> Verdict<RegisterOp<u64>, RegisterRet<u64>> {
    check_linearizable(&Register::new(0), history)
}

fn queue(history: &Queues) -> Verdict<QueueOp<u64>, QueueRet<u64>> {
    check_linearizable(&Queue::unbounded(), history)
}

/// The operations that are to blame.
fn blamed<O: Clone, R: Clone>(verdict: &Verdict<O, R>) -> Vec<(O, Option<R>)> {
    let witness = verdict.witness().unwrap();
    assert!(witness.is_minimal());
    witness.operations().iter().map(|op| (op.op().clone(), op.ret().cloned())).collect()
}

#[test]
fn nothing_has_an_order() {
    assert!(register(&History::new()).is_linearizable());
    let open = History::new();
    drop(open.client(0).begin(Write(1)));
    assert!(register(&open).is_linearizable());
}

#[test]
fn a_read_during_a_write_may_see_either() {
    for seen in [0, 1] {
        let history = History::new();
        let write = history.client(0).begin(Write(1));
        history.client(1).begin(Read).end(Value(seen));
        write.end(Written);
        history.client(1).begin(Read).end(Value(1));
        assert!(register(&history).is_linearizable(), "{seen}");
    }
}

#[test]
fn a_stale_read_is_blamed_with_the_write() {
    let history = History::new();
    let client = history.client(0);
    client.begin(Write(7)).end(Written);
    client.begin(Read).end(Value(7));
    client.begin(Write(1)).end(Written);
    client.begin(Read).end(Value(7));
    client.begin(Read).end(Value(1));
    // The 7 was written before, whatever the first read saw.
    let expected = [(Write(1), Some(Written)), (Read, Some(Value(7)))];
    assert_eq!(blamed(&register(&history)), expected);
}

/// Two reads of one write disagree on whether it has taken effect: new, then old.
#[test]
fn a_value_does_not_come_back() {
    let history = History::new();
    let write = history.client(0).begin(Write(1));
    history.client(1).begin(Read).end(Value(1));
    history.client(2).begin(Read).end(Value(0));
    write.end(Written);
    let verdict = register(&history);
    assert_eq!(blamed(&verdict), [(Read, Some(Value(1))), (Read, Some(Value(0)))]);
    assert_eq!(verdict.witness().unwrap().others().len(), 1);
}

#[test]
fn a_lost_update_is_found() {
    let history = History::new();
    let (a, b) =
        (history.client(0).begin(CounterOp::Add(1)), history.client(1).begin(CounterOp::Add(1)));
    a.end(0);
    b.end(0);
    let verdict = check_linearizable(&Counter::new(0), &history);
    assert_eq!(blamed(&verdict), [(CounterOp::Add(1), Some(0)), (CounterOp::Add(1), Some(0))]);
    let history = History::new();
    let (a, b) =
        (history.client(0).begin(CounterOp::Add(1)), history.client(1).begin(CounterOp::Add(2)));
    a.end(2);
    b.end(0);
    history.client(2).begin(CounterOp::Get).end(3);
    assert!(check_linearizable(&Counter::new(0), &history).is_linearizable());
}

#[test]
fn only_one_exchange_wins() {
    let both = |second| {
        let history = History::new();
        let (a, b) = (
            history.client(0).begin(CompareAndSet(0, 1)),
            history.client(1).begin(CompareAndSet(0, 2)),
        );
        a.end(Swapped(true));
        b.end(Swapped(second));
        register(&history)
    };
    assert!(both(false).is_linearizable());
    assert_eq!(blamed(&both(true)).len(), 2);
}

/// Cancelled, and nobody knows: the write may have taken effect, or not, early or late.
#[test]
fn a_write_that_was_cancelled_may_have_taken_effect_or_not() {
    for seen in [&[0, 0][..], &[0, 1], &[1, 1], &[1, 0]] {
        let history = History::new();
        drop(history.client(0).begin(Write(1)));
        for seen in seen {
            history.client(1).begin(Read).end(Value(*seen));
        }
        assert_eq!(register(&history).is_linearizable(), seen != [1, 0], "{seen:?}");
    }
}

#[test]
fn a_write_that_was_cancelled_has_no_effect_before_its_invocation() {
    let history = History::new();
    history.client(1).begin(Read).end(Value(1));
    drop(history.client(0).begin(Write(1)));
    let verdict = register(&history);
    assert_eq!(blamed(&verdict), [(Read, Some(Value(1)))]);
    assert!(verdict.witness().unwrap().others().is_empty(), "it was invoked later");
}

#[test]
fn a_write_that_was_cancelled_takes_effect_once() {
    let history = History::new();
    drop(history.client(0).begin(Write(1)));
    history.client(1).begin(Read).end(Value(1));
    history.client(1).begin(Write(2)).end(Written);
    history.client(1).begin(Read).end(Value(1));
    assert_eq!(blamed(&register(&history)).len(), 3);
}

#[test]
fn a_pop_that_was_cancelled_may_have_taken_a_value_with_it() {
    let popped = |is_cancelled, second| {
        let history = History::new();
        let client = history.client(0);
        client.begin(Push(1)).end(Pushed);
        client.begin(Push(2)).end(Pushed);
        if is_cancelled {
            drop(history.client(1).begin(Pop));
        }
        client.begin(Pop).end(second);
        queue(&history)
    };
    assert!(popped(true, Popped(1)).is_linearizable());
    assert!(popped(true, Popped(2)).is_linearizable());
    assert!(popped(false, Popped(1)).is_linearizable());
    assert_eq!(
        blamed(&popped(false, Popped(2))),
        [(Push(1), Some(Pushed)), (Pop, Some(Popped(2)))]
    );
    // One took one.
    assert!(!popped(true, Empty).is_linearizable());
}

/// The histories H1 to H4 of Herlihy and Wing, section 1.1, on a queue.
#[test]
fn the_queues_of_herlihy_and_wing() {
    // x and y are put in at the same time: they may come out in either order.
    let first = History::new();
    let (x, y) = (first.client(0).begin(Push(1)), first.client(1).begin(Push(2)));
    y.end(Pushed);
    x.end(Pushed);
    let (b, a) = (first.client(1).begin(Pop), first.client(0).begin(Pop));
    b.end(Popped(1));
    a.end(Popped(2));
    assert!(queue(&first).is_linearizable());
    // x went in before y began, and y comes out first.
    let second = History::new();
    second.client(0).begin(Push(1)).end(Pushed);
    let (y, pop) = (second.client(1).begin(Push(2)), second.client(0).begin(Pop));
    y.end(Pushed);
    pop.end(Popped(2));
    assert_eq!(blamed(&queue(&second)), [(Push(1), Some(Pushed)), (Pop, Some(Popped(2)))]);
    // A push that has not returned has taken effect.
    let third = History::new();
    let push = third.client(0).begin(Push(1));
    third.client(1).begin(Pop).end(Popped(1));
    drop(push);
    assert!(queue(&third).is_linearizable());
    // One value comes out twice.
    let fourth = History::new();
    let (x, y) = (fourth.client(0).begin(Push(1)), fourth.client(1).begin(Push(2)));
    x.end(Pushed);
    y.end(Pushed);
    let (a, b) = (fourth.client(0).begin(Pop), fourth.client(1).begin(Pop));
    a.end(Popped(2));
    b.end(Popped(2));
    assert_eq!(blamed(&queue(&fourth)), [(Pop, Some(Popped(2))), (Pop, Some(Popped(2)))]);
}

#[test]
fn a_bounded_queue_is_full_when_it_is() {
    let check = |capacity, third| {
        let history = History::new();
        let client = history.client(0);
        client.begin(Push(1)).end(Pushed);
        client.begin(Push(2)).end(Pushed);
        client.begin(Push(3)).end(third);
        check_linearizable(&Queue::bounded(capacity), &history).is_linearizable()
    };
    assert!(check(2, Full) && !check(2, Pushed));
    assert!(check(3, Pushed) && !check(3, Full));
    assert!(!check(1, Full), "it took two");
}

#[test]
fn permits_are_lent_out_once() {
    use SemaphoreOp::{Acquire, Release, TryAcquire};
    use SemaphoreRet::{Acquired, Refused, Released};
    let check = |ops: &[(SemaphoreOp, SemaphoreRet)], is_spurious: bool| {
        let history = History::new();
        for (op, ret) in ops {
            history.client(0).begin(*op).end(*ret);
        }
        let model = Semaphore::new(2);
        let model = if is_spurious { model.with_spurious_refusals() } else { model };
        check_linearizable(&model, &history).is_linearizable()
    };
    assert!(check(
        &[(Acquire(2), Acquired), (TryAcquire(1), Refused), (Release(2), Released)],
        false
    ));
    assert!(!check(&[(Acquire(2), Acquired), (TryAcquire(1), Acquired)], true));
    assert!(!check(&[(Acquire(1), Acquired), (TryAcquire(1), Refused)], false));
    assert!(check(&[(Acquire(1), Acquired), (TryAcquire(1), Refused)], true));
    assert!(!check(&[(Release(1), Released)], true), "nobody had it");
    assert!(!check(&[(Release(usize::MAX), Released)], true));
    // Waits until the other has given back.
    let history = History::new();
    history.client(0).begin(Acquire(2)).end(Acquired);
    let waits = history.client(1).begin(Acquire(1));
    let release = history.client(0).begin(Release(2));
    waits.end(Acquired);
    release.end(Released);
    assert!(check_linearizable(&Semaphore::new(2), &history).is_linearizable());
}

#[test]
fn keys_are_checked_each_on_their_own() {
    let history = History::new();
    let client = history.client(0);
    client.begin(MapOp::Insert("a", 1)).end(None);
    client.begin(MapOp::Insert("b", 2)).end(None);
    client.begin(MapOp::Get("b")).end(Some(2));
    assert!(check_linearizable(&Map::new(), &history).is_linearizable());
    client.begin(MapOp::Remove("a")).end(None);
    client.begin(MapOp::Get("b")).end(Some(2));
    let verdict = check_linearizable(&Map::new(), &history);
    assert_eq!(
        blamed(&verdict),
        [(MapOp::Insert("a", 1), Some(None)), (MapOp::Remove("a"), Some(None))]
    );
    assert!(verdict.witness().unwrap().others().is_empty(), "those of other keys are not told");
    let history = History::new();
    let client = history.client(0);
    client.begin(SetOp::Insert(1)).end(false);
    client.begin(SetOp::Contains(2)).end(false);
    client.begin(SetOp::Remove(1)).end(true);
    assert!(check_linearizable(&Set::new(), &history).is_linearizable());
    client.begin(SetOp::Contains(1)).end(true);
    assert_eq!(blamed(&check_linearizable(&Set::new(), &history)).len(), 2);
}

/// An object that may choose: it hands out any of its numbers, each once.
struct Bag;

impl Model for Bag {
    type Op = ();
    type Ret = u32;
    type State = Vec<u32>;
    type Next = Vec<Vec<u32>>;
    type Key = ();

    fn partition(&self, (): &()) {}

    fn init(&self, (): &()) -> Vec<u32> {
        vec![1, 2, 3]
    }

    fn step(&self, left: &Vec<u32>, (): &(), ret: Option<&u32>) -> Vec<Vec<u32>> {
        let without = |one: &u32| left.iter().copied().filter(|other| other != one).collect();
        left.iter().filter(|one| ret.is_none_or(|ret| ret == *one)).map(without).collect()
    }
}

#[test]
fn a_model_may_have_a_choice() {
    let take = |rets: &[u32], open: usize| {
        let history = History::new();
        (0..open).for_each(|client| drop(history.client(client).begin(())));
        for ret in rets {
            history.client(9).begin(()).end(*ret);
        }
        check_linearizable(&Bag, &history).is_linearizable()
    };
    assert!(take(&[3, 1, 2], 0) && take(&[3, 1, 2], 4));
    assert!(!take(&[3, 1, 3], 0) && !take(&[3, 1, 3], 4) && !take(&[4], 0));
}

/// What a register does that four clients use at once: each operation takes effect at some moment
/// between its invocation and its return.
fn real_history(operations: usize, rng: &mut Rng) -> Registers {
    enum At {
        Idle,
        Invoked(RegisterOp<u64>, Call<RegisterOp<u64>, RegisterRet<u64>>),
        Done(RegisterRet<u64>, Call<RegisterOp<u64>, RegisterRet<u64>>),
    }
    let history = History::new();
    let mut clients: Vec<_> = (0..4).map(|id| (history.client(id), At::Idle)).collect();
    let (mut value, mut begun, mut ended) = (0, 0, 0);
    while ended < operations {
        let chosen = usize::try_from(rng.below(4)).unwrap();
        let (client, at) = &mut clients[chosen];
        *at = match std::mem::replace(at, At::Idle) {
            At::Idle if begun == operations => At::Idle,
            At::Idle => {
                begun += 1;
                let op = match rng.below(3) {
                    0 => Read,
                    1 => Write(rng.below(5)),
                    _ => CompareAndSet(rng.below(5), rng.below(5)),
                };
                At::Invoked(op, client.begin(op))
            }
            At::Invoked(op, call) => {
                let ret = match op {
                    Read => Value(value),
                    Write(_) => Written,
                    CompareAndSet(expected, _) => Swapped(expected == value),
                };
                value = Register::new(0).step(&value, &op, Some(&ret)).unwrap();
                At::Done(ret, call)
            }
            At::Done(ret, call) => {
                ended += 1;
                call.end(ret);
                At::Idle
            }
        };
    }
    history
}

#[test]
fn a_long_history_is_checked_in_a_few_steps_for_each_operation() {
    let operations = usize::try_from(scale(2_000)).unwrap();
    let mut all_steps = 0;
    for seed in 0..8 {
        let history = real_history(operations, &mut Rng::new(seed));
        assert_eq!(history.operations().len(), operations);
        let verdict = register(&history);
        let Verdict::Linearizable { steps } = verdict else { panic!("seed {seed}: {verdict}") };
        assert!(steps >= operations as u64, "each was asked for");
        all_steps += steps;
    }
    let all_operations = 8 * operations as u64;
    // The same on each machine. Without the order in which operations are tried, 3.5 for each.
    let most = if cfg!(miri) { 8 * all_operations } else { all_operations * 33 / 10 };
    assert!(all_steps <= most, "{all_steps} steps for {all_operations} operations");
}

#[test]
fn one_wrong_read_in_a_long_history_is_blamed_with_few() {
    let history = real_history(usize::try_from(scale(2_000)).unwrap(), &mut Rng::new(1));
    history.client(0).begin(Write(99)).end(Written);
    history.client(1).begin(Read).end(Value(3));
    let verdict = register(&history);
    assert_eq!(blamed(&verdict), [(Write(99), Some(Written)), (Read, Some(Value(3)))]);
}

/// Whether each of many pushes had an effect would be too much work to try.
#[test]
fn a_witness_that_is_not_known_to_be_minimal_is_still_one_and_can_be_read() {
    let history = History::new();
    let client = history.client(0);
    for value in 0..60 {
        client.begin(Push(value)).end(Pushed);
    }
    client.begin(Pop).end(Popped(59));
    let verdict = check_linearizable_within(&Queue::unbounded(), &history, 20_000);
    let witness = verdict.witness().unwrap();
    assert!(!witness.is_minimal());
    assert!(witness.operations().len() > 30, "{}", witness.operations().len());
    let text = witness.to_string();
    assert!(text.contains(" (the last 16 of them drawn)"), "{text}");
    assert_eq!(text.matches(" -> ").count(), 16, "{text}");
    assert!(text.ends_with("|-Pop -> Popped(59)-|"), "{text}");
}

/// Writes that were cancelled would double the work each.
#[test]
fn many_cancelled_writes_cost_little() {
    let history = History::new();
    for value in 1..=60 {
        drop(history.client(0).begin(Write(value)));
    }
    history.client(1).begin(Read).end(Value(0));
    history.client(1).begin(Read).end(Value(60));
    history.client(1).begin(Read).end(Value(1));
    let verdict = register(&history);
    let Verdict::Linearizable { steps } = verdict else { panic!("{verdict}") };
    assert!(steps < 50_000, "{steps} steps");
    history.client(1).begin(Read).end(Value(99));
    assert_eq!(blamed(&register(&history)), [(Read, Some(Value(99)))]);
}

#[test]
fn too_much_work_is_no_verdict() {
    let history = History::new();
    let pushes: Vec<_> = (0..12).map(|n| history.client(n).begin(Push(n as u64))).collect();
    for push in pushes {
        push.end(Pushed);
    }
    history.client(0).begin(Pop).end(Popped(100));
    let model = Queue::unbounded();
    let verdict = check_linearizable_within(&model, &history, 10_000);
    let Verdict::Inconclusive { steps } = verdict else { panic!("{verdict}") };
    assert!((10_000..11_000).contains(&steps), "{steps}");
    assert!(verdict.into_result().unwrap_err().starts_with("INCONCLUSIVE"));
}

/// A partition that cannot be decided does not hide one that can.
#[test]
fn a_wrong_partition_is_found_beside_one_that_is_too_much_work() {
    struct Queues;
    impl Model for Queues {
        type Op = (u8, QueueOp<u64>);
        type Ret = QueueRet<u64>;
        type State = <Queue<u64> as Model>::State;
        type Next = <Queue<u64> as Model>::Next;
        type Key = u8;

        fn partition(&self, (key, _): &Self::Op) -> u8 {
            *key
        }

        fn init(&self, _: &u8) -> Self::State {
            Self::State::new()
        }

        fn step(
            &self,
            state: &Self::State,
            (_, op): &Self::Op,
            ret: Option<&Self::Ret>,
        ) -> Self::Next {
            Queue::unbounded().step(state, op, ret)
        }
    }
    let history = History::new();
    let pushes: Vec<_> = (0..12).map(|n| history.client(n).begin((0, Push(n as u64)))).collect();
    for push in pushes {
        push.end(Pushed);
    }
    history.client(0).begin((0, Pop)).end(Popped(100));
    assert!(matches!(
        check_linearizable_within(&Queues, &history, 1_000),
        Verdict::Inconclusive { .. }
    ));
    history.client(0).begin((1, Pop)).end(Popped(1));
    assert_eq!(blamed(&check_linearizable_within(&Queues, &history, 1_000)).len(), 1);
}

#[test]
fn the_timeline_has_a_line_for_each_client() {
    let history = History::new();
    let slow = history.client(10).begin(Write(1));
    drop(history.client(2).begin(Write(5)));
    history.client(2).begin(Read).end(Value(1));
    slow.end(Written);
    history.client(2).begin(Read).end(Value(0));
    let text = register(&history).to_string();
    let expected = "\
not linearizable: no order of these 2 operations explains what they returned, \
whatever 2 others (dotted) did
client 2    |.Write(5)...............................
client 2     |-Read -> Value(1)-| |-Read -> Value(0)-|
client 10  |.Write(1) -> Written.|";
    assert_eq!(text, expected);
}
