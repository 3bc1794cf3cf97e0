use super::*;

#[test]
fn a_full_queue_takes_what_fits_and_leaves_the_rest() {
    let mut queue = QueueState::new(3);
    let mut from: VecDeque<_> = (0..5).collect();
    queue.push(&mut from);
    assert_eq!((queue.len(), queue.room(), queue.entered()), (3, 0, 3));
    assert_eq!(from, [3, 4]);
    let mut into = VecDeque::new();
    assert_eq!(queue.pop(2, &mut into), Some(0));
    assert_eq!(into, [0, 1]);
    assert!(queue.is_low());
    queue.push(&mut from);
    assert!(!queue.is_low());
    into.clear();
    assert_eq!(queue.pop(9, &mut into), Some(2), "tickets are the running number");
    assert_eq!(into, [2, 3, 4]);
}

#[test]
fn a_capacity_of_zero_still_passes_items() {
    let mut queue = QueueState::new(0);
    let mut from: VecDeque<_> = [7].into();
    queue.push(&mut from);
    assert!(from.is_empty());
    assert_eq!(queue.poppable(), 1);
}

#[test]
fn finished_means_no_producer_and_nothing_queued() {
    let mut queue = QueueState::new(4);
    assert!(!queue.is_finished(), "nobody has begun to fill it");
    queue.add_producer();
    queue.add_producer();
    assert!(!queue.remove_producer());
    queue.push(&mut [1].into());
    assert!(queue.remove_producer());
    assert!(!queue.is_finished());
    queue.pop(1, &mut VecDeque::new());
    assert!(queue.is_finished());
}

#[test]
fn results_wait_for_older_ones_and_for_room() {
    let mut queue = QueueState::new(2);
    queue.set_ordered();
    queue.deposit(&mut [(2, Some('c')), (1, None), (3, Some('d'))].into());
    assert_eq!((queue.len(), queue.release()), (0, Some(0)));
    queue.deposit(&mut [(0, Some('a'))].into());
    assert_eq!((queue.len(), queue.entered()), (2, 2), "no room for the fourth");
    assert_eq!(queue.release(), Some(3));
    let mut into = VecDeque::new();
    queue.pop(1, &mut into);
    assert_eq!(queue.release(), Some(4));
    let (ready, held) = queue.take_rest();
    assert_eq!((ready, held), (VecDeque::from(['c', 'd']), vec![]));
}

#[test]
fn tickets_bound_what_can_be_taken() {
    let mut queue = QueueState::new(10);
    queue.set_ticket_limit(2);
    queue.push(&mut (0..5).collect());
    let mut into = VecDeque::new();
    assert_eq!(queue.pop(5, &mut into), Some(0));
    assert_eq!(into.len(), 2);
    assert!(queue.is_held_by_window());
    into.clear();
    assert_eq!(queue.pop(5, &mut into), None);
    queue.raise_ticket_limit(3);
    queue.raise_ticket_limit(1);
    assert_eq!(queue.pop(5, &mut into), Some(2));
    assert_eq!(into, [2]);
}

/// An interpreter takes minutes to make up the cases.
#[cfg(not(miri))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(usize),
        Pop(usize),
        Raise(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0_usize..9).prop_map(Op::Push),
            (0_usize..9).prop_map(Op::Pop),
            (0_u64..6).prop_map(Op::Raise),
        ]
    }

    proptest! {
        /// A plain `Vec` taken item by item, without any short cut.
        #[test]
        fn equals_a_naive_queue(capacity in 1_usize..7, limit in 0_u64..5, ops in prop::collection::vec(op(), 0..60)) {
            let mut queue = QueueState::new(capacity);
            queue.set_ticket_limit(limit);
            let (mut naive, mut limit, mut taken, mut next) = (Vec::new(), limit, 0_u64, 0_u64);
            for op in ops {
                match op {
                    Op::Push(count) => {
                        let mut from: VecDeque<u64> = (next..next + count as u64).collect();
                        let mut fits = 0;
                        while fits < count && naive.len() < capacity {
                            naive.push(next + fits as u64);
                            fits += 1;
                        }
                        queue.push(&mut from);
                        prop_assert_eq!(from, (next + fits as u64..next + count as u64).collect::<VecDeque<_>>());
                        next += fits as u64;
                    }
                    Op::Pop(max) => {
                        let mut expected = VecDeque::new();
                        let first = taken;
                        while expected.len() < max && !naive.is_empty() && taken < limit {
                            expected.push_back(naive.remove(0));
                            taken += 1;
                        }
                        let mut into = VecDeque::new();
                        let ticket = queue.pop(max, &mut into);
                        prop_assert_eq!(ticket, (!expected.is_empty()).then_some(first));
                        prop_assert_eq!(into, expected);
                    }
                    Op::Raise(by) => {
                        limit += by;
                        queue.raise_ticket_limit(limit);
                    }
                }
                prop_assert_eq!(queue.len(), naive.len());
                prop_assert_eq!(queue.entered(), next);
                prop_assert!(queue.len() <= capacity);
            }
            prop_assert_eq!(queue.take_rest().0, naive);
        }

        /// Workers take items, finish them in any order, and deposit; the consumer sees the
        /// order of the input, and at most `window` items are between the oldest and the newest.
        #[test]
        fn an_ordered_stage_keeps_order_within_its_window(
            capacity in 1_usize..5,
            window in 1_u64..6,
            picks in prop::collection::vec((0_usize..8, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut input = QueueState::new(1000);
            input.set_ticket_limit(window);
            input.push(&mut (0_u64..50).collect());
            let mut output = QueueState::new(capacity);
            output.set_ordered();
            let mut held: Vec<(u64, u64)> = Vec::new();
            let mut seen = Vec::new();
            let mut dropped = Vec::new();
            let mut one = VecDeque::new();
            // After the random part, a fair schedule must be able to finish: nothing is stuck.
            let fair = (0..300).map(|_| (0, true, true));
            for (pick, take, keep) in picks.into_iter().chain(fair) {
                if take {
                    one.clear();
                    if let Some(ticket) = input.pop(1, &mut one) {
                        held.push((ticket, one[0]));
                    }
                }
                if !held.is_empty() && (keep || pick > 3) {
                    let (ticket, item) = held.swap_remove(pick % held.len());
                    if !keep {
                        dropped.push(item);
                    }
                    output.deposit(&mut [(ticket, keep.then_some(item))].into());
                }
                if pick % 2 == 0 {
                    one.clear();
                    output.pop(1, &mut one);
                    seen.extend(one.iter().copied());
                }
                let released = output.release().unwrap();
                input.raise_ticket_limit(released + window);
                prop_assert!(held.iter().all(|(ticket, _)| ticket - released < window));
                prop_assert!(output.len() <= capacity);
            }
            let expected: Vec<u64> = (0..50).filter(|item| !dropped.contains(item)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
