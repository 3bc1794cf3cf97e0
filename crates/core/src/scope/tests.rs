//! What only the nodes themselves can show.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{WorkKind, node::ScopeNode};
use crate::{CancelToken, sync::Arc};
use std::panic::Location;

const DEPTH: usize = if cfg!(miri) { 50 } else { 10_000 };

/// A chain of nested scopes, the root first.
fn chain() -> Vec<Arc<ScopeNode>> {
    let at = Location::caller();
    let mut chain = vec![ScopeNode::root("root".into(), at, CancelToken::new())];
    for depth in 0..DEPTH {
        chain.push(ScopeNode::nested("level".into(), at, &chain[depth]).unwrap());
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
    let key = leaf.admit("child".into(), Location::caller(), WorkKind::Task).unwrap();
    for scope in &chain[1..] {
        scope.abort();
        scope.orphaned();
    }
    root.body_ended();
    assert!(!root.is_closed(), "the deepest child holds every scope above it open");
    leaf.release(key, true);
    assert!(chain.iter().all(|scope| scope.is_closed()));
    assert_eq!(root.take_aborted().len(), 1);
}

#[test]
fn stragglers_of_nested_scopes_are_found_from_the_root() {
    let at = Location::caller();
    let root = ScopeNode::root("app".into(), at, CancelToken::new());
    let nested = ScopeNode::nested("jobs".into(), at, &root).unwrap();
    nested.admit("stuck".into(), at, WorkKind::Blocking).unwrap();
    let stragglers = root.stragglers();
    let found: Vec<_> = stragglers.iter().map(|s| s.task().path()).collect();
    assert_eq!(found, ["/app/jobs/stuck"]);
    assert!(stragglers[0].to_string().starts_with("blocking /app/jobs/stuck (spawned at "));
}
