//! Models of the join counter and of the tree of scopes: run with `--cfg tidegate_loom`.

use super::{
    WorkKind,
    ledger::Reader,
    node::{Plan, ScopeNode},
    registry::{End, Key},
    slots::Slots,
};
use crate::{
    CancelToken,
    cancel::loom_tests::model,
    sync::{Arc, thread},
};
use std::{
    future::poll_fn,
    panic::Location,
    task::{Poll, Waker},
};
use tokio::time::Instant;

fn scope() -> Arc<ScopeNode> {
    ScopeNode::root(Plan::new("scope"), CancelToken::new())
}

fn child(scope: &ScopeNode) -> Key {
    scope.admit("child".into(), Location::caller(), WorkKind::Task, None).unwrap()
}

fn join(scope: &ScopeNode) {
    loom::future::block_on(poll_fn(|cx| scope.poll_closed(cx)));
}

/// What a child's record does when the child was dropped before it ended.
fn end_aborted(scope: &ScopeNode, key: Key) {
    scope.note_aborted(Some(key), None);
    scope.release(key, End::Other);
}

/// How much went wrong in a scope that has closed.
fn left_in(scope: &ScopeNode) -> usize {
    let left = scope.close().orphan(Reader::Parent);
    left.entries.len() + left.counts.adopted_more
}

#[test]
fn loom_join_waits_for_every_child() {
    model("join_waits_for_every_child", || {
        let scope = scope();
        let children = [child(&scope), child(&scope)].map(|key| {
            let scope = Arc::clone(&scope);
            thread::spawn(move || scope.release(key, End::Other))
        });
        scope.body_ended();
        join(&scope);
        assert_eq!(scope.live(), 0);
        assert!(scope.admit("late".into(), Location::caller(), WorkKind::Task, None).is_err());
        for child in children {
            child.join().unwrap();
        }
    });
}

#[test]
fn loom_a_child_that_spawns_at_the_end_is_waited_for() {
    model("a_child_that_spawns_at_the_end_is_waited_for", || {
        let scope = scope();
        let spawners = [child(&scope), child(&scope)].map(|first| {
            let scope = Arc::clone(&scope);
            thread::spawn(move || {
                // While the first child lives the scope is open, whatever the others do.
                let second = child(&scope);
                scope.release(first, End::Other);
                second
            })
        });
        scope.body_ended();
        for second in spawners.map(|spawner| spawner.join().unwrap()) {
            assert!(scope.is_open());
            scope.release(second, End::Other);
        }
        join(&scope);
    });
}

#[test]
fn loom_spawning_into_a_closing_scope_is_admitted_or_refused() {
    model("spawning_into_a_closing_scope_is_admitted_or_refused", || {
        let scope = scope();
        let first = child(&scope);
        let outsiders = ["late", "later"].map(|name| {
            let scope = Arc::clone(&scope);
            thread::spawn(move || {
                let key = scope.admit(name.into(), Location::caller(), WorkKind::Task, None);
                if let Ok(key) = key {
                    assert!(scope.is_open(), "an admitted child holds the scope open");
                    scope.release(key, End::Other);
                }
            })
        });
        scope.release(first, End::Other);
        scope.body_ended();
        join(&scope);
        for outsider in outsiders {
            outsider.join().unwrap();
        }
        assert!(!scope.is_open());
    });
}

#[test]
fn loom_an_abort_reaches_a_child_that_is_about_to_park() {
    model("an_abort_reaches_a_child_that_is_about_to_park", || {
        let scope = scope();
        let key = child(&scope);
        let parking = {
            let scope = Arc::clone(&scope);
            thread::spawn(move || {
                // What `Child::poll` does, with a future that is never ready.
                loom::future::block_on(poll_fn(|cx| {
                    if scope.is_aborting() || !scope.park(key, cx.waker()) {
                        return Poll::Ready(());
                    }
                    Poll::Pending
                }));
                end_aborted(&scope, key);
            })
        };
        scope.abort();
        scope.body_ended();
        join(&scope);
        parking.join().unwrap();
        assert_eq!(left_in(&scope), 1);
    });
}

#[test]
fn loom_a_dropped_scope_is_waited_for_by_its_parent() {
    model("a_dropped_scope_is_waited_for_by_its_parent", || {
        let parent = scope();
        let nested = ScopeNode::nested(Plan::new("nested"), &parent).unwrap();
        let ending = [child(&nested), child(&nested)].map(|key| {
            let nested = Arc::clone(&nested);
            thread::spawn(move || end_aborted(&nested, key))
        });
        nested.orphan();
        parent.body_ended();
        join(&parent);
        assert!(!nested.is_open(), "the parent closed before the scope it adopted");
        assert_eq!(left_in(&parent), 2);
        for ending in ending {
            ending.join().unwrap();
        }
    });
}

#[test]
fn loom_a_scope_dropped_while_it_joins_loses_no_straggler() {
    model("a_scope_dropped_while_it_joins_loses_no_straggler", || {
        let parent = scope();
        let nested = ScopeNode::nested(Plan::new("nested"), &parent).unwrap();
        let keys = [child(&nested), child(&nested)];
        nested.body_ended();
        let ending = keys.map(|key| {
            let nested = Arc::clone(&nested);
            thread::spawn(move || end_aborted(&nested, key))
        });
        parent.body_ended();
        nested.orphan();
        join(&parent);
        assert_eq!(left_in(&parent), 2);
        for ending in ending {
            ending.join().unwrap();
        }
    });
}

#[test]
fn loom_an_abort_reaches_a_nested_scope_that_is_being_opened() {
    model("an_abort_reaches_a_nested_scope_that_is_being_opened", || {
        let parent = scope();
        let opening = {
            let parent = Arc::clone(&parent);
            thread::spawn(move || {
                let nested = ScopeNode::nested(Plan::new("nested"), &parent);
                // What the driver of a nested scope does, with a body that is never ready.
                if let Ok(nested) = nested {
                    loom::future::block_on(poll_fn(|cx| {
                        if nested.is_aborting() || !nested.park_driver(cx) {
                            return Poll::Ready(());
                        }
                        Poll::Pending
                    }));
                    nested.orphan();
                }
            })
        };
        parent.abort();
        parent.body_ended();
        join(&parent);
        opening.join().unwrap();
    });
}

/// The driver leaves its waker before it looks at the deadline, as `drive` does.
#[test]
fn loom_a_deadline_that_moves_is_seen_by_the_driver() {
    model("a_deadline_that_moves_is_seen_by_the_driver", || {
        let parent = scope();
        let nested = ScopeNode::nested(Plan::new("nested"), &parent).unwrap();
        let movers = [(); 2].map(|()| {
            let parent = Arc::clone(&parent);
            thread::spawn(move || {
                parent.set_deadline(Some(Instant::now()));
                parent
            })
        });
        loom::future::block_on(poll_fn(|cx| {
            assert!(nested.park_driver(cx));
            if nested.deadline().is_some() { Poll::Ready(()) } else { Poll::Pending }
        }));
        for mover in movers {
            drop(mover.join().unwrap());
        }
    });
}

/// Waits for a slot, and gives it back; whether there was one.
fn take_turn(slots: &Slots) -> bool {
    let Some(ticket) = slots.queue() else {
        slots.give_back();
        return true;
    };
    let given = loom::future::block_on(poll_fn(|cx| slots.poll(ticket, cx))).is_ok();
    if given {
        slots.give_back();
    } else {
        slots.leave(ticket);
    }
    given
}

#[test]
fn loom_a_slot_reaches_everybody_who_waits() {
    model("a_slot_reaches_everybody_who_waits", || {
        let slots = Arc::new(Slots::new(1));
        assert!(slots.try_take());
        let waiting = [(); 2].map(|()| {
            let slots = Arc::clone(&slots);
            thread::spawn(move || assert!(take_turn(&slots)))
        });
        slots.give_back();
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(slots.counts(), (1, 0));
    });
}

#[test]
fn loom_a_slot_given_to_one_who_leaves_is_not_lost() {
    model("a_slot_given_to_one_who_leaves_is_not_lost", || {
        let slots = Arc::new(Slots::new(1));
        assert!(slots.try_take());
        let leaving = slots.queue().unwrap();
        let (waiting, left) = (Arc::clone(&slots), Arc::clone(&slots));
        let waiting = thread::spawn(move || assert!(take_turn(&waiting)));
        let leaving = thread::spawn(move || left.leave(leaving));
        slots.give_back();
        waiting.join().unwrap();
        leaving.join().unwrap();
        assert_eq!(slots.counts(), (1, 0));
    });
}

#[test]
fn loom_nobody_waits_for_slots_that_are_closed() {
    model("nobody_waits_for_slots_that_are_closed", || {
        let slots = Arc::new(Slots::new(1));
        assert!(slots.try_take());
        let waiting = [(); 2].map(|()| {
            let slots = Arc::clone(&slots);
            thread::spawn(move || take_turn(&slots))
        });
        slots.close();
        let given = waiting.map(|thread| thread.join().unwrap());
        assert_eq!(given, [false; 2], "the slot is taken all the time");
        slots.give_back();
        assert_eq!(slots.counts(), (1, 0));
    });
}

#[test]
fn loom_seats_of_ended_children_are_used_once() {
    model("seats_of_ended_children_are_used_once", || {
        let scope = scope();
        let first = [child(&scope), child(&scope)];
        let ending = {
            let scope = Arc::clone(&scope);
            thread::spawn(move || {
                for key in first {
                    let (waker, is_parked) = (Waker::noop(), false);
                    scope.release(key, End::Polled { waker, is_parked });
                }
            })
        };
        let next = [child(&scope), child(&scope)];
        assert_ne!(next[0], next[1]);
        ending.join().unwrap();
        let mut alive = Vec::new();
        scope.for_each_record(|key, _, _| alive.push(key));
        alive.sort_by_key(|key| key.to_bits());
        let mut expected = next.to_vec();
        expected.sort_by_key(|key| key.to_bits());
        assert_eq!(alive, expected);
        next.iter().for_each(|key| scope.release(*key, End::Other));
        scope.body_ended();
        join(&scope);
    });
}

#[test]
fn loom_an_abort_reaches_a_child_that_is_being_spawned() {
    model("an_abort_reaches_a_child_that_is_being_spawned", || {
        let scope = scope();
        let spawning = {
            let scope = Arc::clone(&scope);
            thread::spawn(move || {
                let key = scope.admit("late".into(), Location::caller(), WorkKind::Task, None);
                let Ok(key) = key else { return };
                loom::future::block_on(poll_fn(|cx| {
                    if scope.is_aborting() || !scope.park(key, cx.waker()) {
                        return Poll::Ready(());
                    }
                    Poll::Pending
                }));
                scope.release(key, End::Other);
            })
        };
        scope.abort();
        scope.body_ended();
        join(&scope);
        spawning.join().unwrap();
    });
}
