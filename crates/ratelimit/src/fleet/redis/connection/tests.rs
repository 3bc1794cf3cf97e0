//! When a connection is given up. None is made: an attempt that is not polled makes none.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use super::*;

fn connection() -> Connection {
    Connection::new(Client::open("redis://127.0.0.1:1/").unwrap())
}

impl Connection {
    /// An attempt over a connection that is there.
    fn sent(&self) -> Attempt<'_> {
        let attempt = self.attempt();
        attempt.is_sent.store(true, Relaxed);
        attempt
    }

    /// Which connection it is, by now.
    fn number(&self) -> u64 {
        lock(&self.state).number
    }
}

#[test]
fn two_in_a_row_without_an_answer_part_the_connection() {
    let owner = connection();
    drop(owner.sent());
    assert_eq!(owner.number(), 0);
    drop(owner.sent());
    assert_eq!(owner.number(), 1);
    // Of the new one nothing is known.
    drop(owner.sent());
    assert_eq!(owner.number(), 1);
}

#[test]
fn an_attempt_parts_no_other_connection_than_its_own() {
    let owner = connection();
    let old: Vec<_> = (0..6).map(|_| owner.sent()).collect();
    owner.sent().is_lost();
    assert_eq!(owner.number(), 1);
    let mut old = old.into_iter();
    old.next().unwrap().is_lost();
    old.next().unwrap().is_lost();
    assert_eq!(owner.number(), 1, "lost already");
    drop(old);
    assert_eq!(owner.number(), 1, "given up with the connection before");
    // Nor do they add to what is held against the new one.
    drop(owner.sent());
    assert_eq!(owner.number(), 1);
}

#[test]
fn those_of_an_old_connection_do_not_speak_for_the_new_one() {
    let owner = connection();
    let old = owner.sent();
    owner.sent().is_lost();
    drop(owner.sent());
    old.is_answered();
    drop(owner.sent());
    assert_eq!(owner.number(), 2, "two in a row");
}

#[test]
fn attempts_that_are_given_up_together_count_once() {
    let owner = connection();
    let all: Vec<_> = (0..64).map(|_| owner.sent()).collect();
    drop(all);
    assert_eq!(owner.number(), 0);
    drop(owner.sent());
    assert_eq!(owner.number(), 1, "but one after them makes two");
}

#[test]
fn an_attempt_before_an_answer_is_not_held_against_the_connection() {
    let owner = connection();
    let detached: Vec<_> = (0..4).map(|_| owner.sent()).collect();
    drop(owner.sent());
    owner.sent().is_answered();
    for attempt in detached {
        drop(attempt);
        assert_eq!(owner.number(), 0);
    }
    drop(owner.sent());
    assert_eq!(owner.number(), 0, "the first one since the answer");
}

#[test]
fn an_attempt_that_was_not_sent_tells_nothing() {
    let owner = connection();
    for _ in 0..10 {
        drop(owner.attempt());
    }
    drop(owner.sent());
    assert_eq!(owner.number(), 0);
}
