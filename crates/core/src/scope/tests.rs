//! What only the nodes themselves can show.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{
    WorkKind,
    child::{Child, Open},
    ledger::{Entry, Reader},
    node::{Plan, ScopeNode},
    registry::End,
};
use crate::{CancelToken, inspect::Left, panic::catch, sync::Arc};
use std::{
    future::Pending,
    panic::Location,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

const DEPTH: usize = if cfg!(miri) { 50 } else { 10_000 };

fn poll_closed(scope: &ScopeNode) -> Poll<()> {
    scope.poll_closed(&Context::from_waker(Waker::noop()))
}

/// A chain of nested scopes, the root first.
fn chain() -> Vec<Arc<ScopeNode>> {
    let mut chain = vec![ScopeNode::root(Plan::new("root"), CancelToken::new())];
    for depth in 0..DEPTH {
        chain.push(ScopeNode::nested(Plan::new("level"), &chain[depth]).unwrap());
    }
    chain
}

#[test]
fn recursive_drop_of_deep_scope_chains_overflows_the_stack() {
    let mut chain = chain();
    let leaf = chain.pop().unwrap();
    drop(chain);
    drop(leaf);
}

#[test]
fn closing_a_deep_chain_of_orphans_goes_up_without_recursion() {
    let chain = chain();
    let (root, leaf) = (&chain[0], &chain[DEPTH]);
    let key = leaf.admit("child".into(), Location::caller(), WorkKind::Task, None).unwrap();
    for scope in chain[1..].iter().rev() {
        scope.orphan();
    }
    root.body_ended();
    assert!(poll_closed(root).is_pending(), "the deepest child holds every scope above it open");
    leaf.note_aborted(Some(key), None);
    leaf.release(key, End::Other);
    assert!(chain[1..].iter().all(|scope| !scope.is_open()));
    assert!(poll_closed(root).is_ready());
    assert_eq!(root.close().orphan(Reader::Parent).entries.len(), 1);
}

/// Each would go up ten thousand levels otherwise.
#[test]
fn what_is_orphaned_below_an_orphan_has_the_heir_of_that() {
    let chain = chain();
    for scope in &chain[1..] {
        scope.orphan();
    }
    assert!(chain[1..].iter().all(|scope| Arc::ptr_eq(scope.heir().unwrap(), &chain[0])));
    assert!(chain[0].heir().is_none());
}

#[test]
fn an_abort_reaches_the_work_of_nested_scopes() {
    let chain = chain();
    chain[0].abort();
    assert!(chain.iter().all(|scope| scope.is_aborting()));
    let late = ScopeNode::nested(Plan::new("late"), &chain[DEPTH]);
    assert!(late.is_err());
}

#[test]
fn stragglers_of_nested_scopes_are_found_from_the_root() {
    let at = Location::caller();
    let root = ScopeNode::root(Plan::new("app"), CancelToken::new());
    let nested = ScopeNode::nested(Plan::new("jobs"), &root).unwrap();
    let key = nested.admit("stuck".into(), at, WorkKind::Blocking, None).unwrap();
    let paths = |scope: &Arc<ScopeNode>| {
        let mut paths: Vec<_> =
            scope.stragglers().iter().map(|s| s.task().path().to_owned()).collect();
        paths.sort();
        paths
    };
    assert_eq!(paths(&root), ["/app", "/app/jobs", "/app/jobs/stuck"]);
    let blocking = &root.stragglers()[2];
    assert!(
        blocking.to_string().starts_with("blocking /app/jobs/stuck (spawned at "),
        "{blocking}"
    );
    root.body_ended();
    nested.body_ended();
    assert_eq!(paths(&root), ["/app/jobs/stuck"]);
    nested.release(key, End::Other);
    assert_eq!(paths(&root), ["/app/jobs"], "a scope that nobody polls is what is left");
    nested.close();
    assert_eq!(paths(&root), ["/app"]);
    root.close();
    assert!(root.stragglers().is_empty());
}

/// The last child has ended, and the scope's future is dropped before it could see that: what
/// the scope knows must not fall between the two.
#[test]
fn a_scope_dropped_after_its_last_child_keeps_nothing_for_itself() {
    let at = Location::caller();
    let parent = ScopeNode::root(Plan::new("parent"), CancelToken::new());
    let nested = ScopeNode::nested(Plan::new("nested"), &parent).unwrap();
    let key = nested.admit("child".into(), at, WorkKind::Task, None).unwrap();
    nested.body_ended();
    let caught = catch(|| panic!("deliberate")).err().unwrap();
    nested.panicked(Some(key), *caught, &Left::default());
    nested.release(key, End::Other);
    parent.body_ended();
    assert!(poll_closed(&parent).is_pending());
    nested.orphan();
    assert!(poll_closed(&parent).is_ready());
    let left = parent.close().orphan(Reader::Parent).entries;
    let [Entry::Adopted(panic)] = &left[..] else { panic!("{left:?}") };
    assert_eq!(panic.panic().unwrap().message(), "deliberate");
}

#[test]
fn a_deadline_that_is_not_the_earliest_is_never_due() {
    let now = Instant::now();
    let [soon, later] = [1, 2].map(|secs| Some(now + Duration::from_secs(secs)));
    let root = ScopeNode::root(Plan::new("root"), CancelToken::new());
    let middle = ScopeNode::nested(Plan::new("middle"), &root).unwrap();
    let leaf = ScopeNode::nested(Plan::new("leaf"), &middle).unwrap();
    root.set_deadline(soon);
    leaf.set_deadline(later);
    assert_eq!([&root, &middle, &leaf].map(|scope| scope.deadline()), [soon; 3]);
    assert_eq!([&root, &middle, &leaf].map(|scope| scope.due()), [soon, None, None]);
    leaf.set_deadline(soon);
    assert_eq!(leaf.due(), None, "that of the root cancels it at that moment");
    leaf.set_deadline(later);
    root.set_deadline(None);
    assert_eq!([&root, &middle, &leaf].map(|scope| scope.due()), [None, None, later]);
}

/// The runtime allocates a task in steps of 128 bytes, of which it needs some 90 itself: a few
/// bytes more in each child are 128 more.
#[test]
fn a_child_leaves_room_in_the_smallest_task() {
    assert!(
        size_of::<Child<Pending<()>, Open>>() <= 24,
        "{}",
        size_of::<Child<Pending<()>, Open>>()
    );
}
