//! The suites let right implementations pass, and find what is wrong with others.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::yield_now,
    time::Duration,
};
use tidegate_testkit::conformance::{self, Refusals, TryQueue, TrySemaphore};
use tidegate_testkit::{Stress, StressFailure, StressReport};
use tokio::sync::{Mutex as TokioMutex, Semaphore, SemaphorePermit, mpsc};

/// Until it fails, which takes some rounds; a machine that is busy may be at one for long.
pub(crate) fn hunt(name: &str) -> Stress {
    Stress::new(name).threads(4).reruns(0).time(Duration::from_secs(20)).min_rounds(1)
}

pub(crate) fn message(result: Result<StressReport, StressFailure>) -> String {
    match result {
        Err(StressFailure::Failed { message, .. }) => message,
        result => panic!("nothing was found: {result:?}"),
    }
}

struct Locked {
    values: Mutex<VecDeque<u64>>,
    capacity: usize,
}

impl Locked {
    fn new(capacity: usize) -> Self {
        Self { values: Mutex::default(), capacity }
    }
}

impl TryQueue for Locked {
    fn try_push(&self, value: u64) -> Result<(), u64> {
        let mut values = self.values.lock().unwrap();
        if values.len() == self.capacity {
            return Err(value);
        }
        values.push_back(value);
        Ok(())
    }

    fn try_pop(&self) -> Option<u64> {
        self.values.lock().unwrap().pop_front()
    }
}

#[test]
fn a_locked_queue_passes() {
    conformance::queue(Stress::new("bounded queue"), Some(3), || Locked::new(3)).unwrap();
    let unbounded = || Locked::new(usize::MAX);
    conformance::queue(Stress::new("unbounded queue"), None, unbounded).unwrap();
}

#[test]
fn a_queue_of_another_size_is_found() {
    let text = message(conformance::queue(hunt("larger"), Some(2), || Locked::new(3)));
    assert!(text.contains("not linearizable"), "{text}");
    let text = message(conformance::queue(hunt("smaller"), None, || Locked::new(3)));
    assert!(text.contains("not linearizable") && text.contains("-> Full-"), "{text}");
}

/// Looks at the first value, and takes it out in a second step.
struct TwoSteps(Locked);

impl TryQueue for TwoSteps {
    fn try_push(&self, value: u64) -> Result<(), u64> {
        self.0.try_push(value)
    }

    fn try_pop(&self) -> Option<u64> {
        let first = *self.0.values.lock().unwrap().front()?;
        yield_now();
        self.0.values.lock().unwrap().pop_front();
        Some(first)
    }
}

#[test]
fn a_value_that_comes_out_twice_is_found() {
    let make = || TwoSteps(Locked::new(usize::MAX));
    let text = message(conformance::queue(hunt("two steps"), None, make));
    assert!(text.contains("came out twice") || text.contains("lost: "), "{text}");
}

/// Says that it is empty when another has the values.
struct GivesUp(Locked);

impl TryQueue for GivesUp {
    fn try_push(&self, value: u64) -> Result<(), u64> {
        let mut values = self.0.values.lock().unwrap();
        yield_now();
        values.push_back(value);
        Ok(())
    }

    fn try_pop(&self) -> Option<u64> {
        self.0.values.try_lock().ok()?.pop_front()
    }
}

/// Nothing is lost, and each value comes once and in order: only the whole history tells.
#[test]
fn a_queue_that_seems_empty_is_found() {
    let make = || GivesUp(Locked::new(usize::MAX));
    let text = message(conformance::queue(hunt("gives up"), None, make));
    assert!(text.contains("not linearizable") && text.contains("-> Empty-"), "{text}");
    assert!(text.contains("\nclient "), "there is a timeline: {text}");
}

/// The last is the first.
struct Stack(Locked);

impl TryQueue for Stack {
    fn try_push(&self, value: u64) -> Result<(), u64> {
        self.0.try_push(value)
    }

    fn try_pop(&self) -> Option<u64> {
        self.0.values.lock().unwrap().pop_back()
    }
}

#[test]
fn a_stack_is_no_queue() {
    let make = || Stack(Locked::new(usize::MAX));
    let text = message(conformance::queue(hunt("one").threads(1), None, make));
    assert!(text.contains("of the same producer"), "{text}");
    message(conformance::queue(hunt("stack"), None, make));
}

/// Never ends.
struct Endless;

impl TryQueue for Endless {
    fn try_push(&self, _value: u64) -> Result<(), u64> {
        Ok(())
    }

    fn try_pop(&self) -> Option<u64> {
        Some(1)
    }
}

#[test]
fn a_queue_without_an_end_is_found() {
    let text = message(conformance::queue(hunt("endless"), None, || Endless));
    assert!(text.contains("it has no end"), "{text}");
}

struct Tokio(Semaphore);

impl TrySemaphore for Tokio {
    type Permit<'a> = SemaphorePermit<'a>;

    fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}

#[test]
fn the_semaphore_of_tokio_passes() {
    let run = |permits, refusals| {
        let make = || Tokio(Semaphore::new(permits));
        conformance::semaphore(Stress::new("tokio"), permits, refusals, make)
    };
    run(2, Refusals::Exact).unwrap();
    run(0, Refusals::Exact).unwrap();
    run(1, Refusals::Spurious).unwrap();
}

#[test]
fn permits_that_are_too_many_or_too_few_are_found() {
    let make = || Tokio(Semaphore::new(2));
    let run = |permits| message(conformance::semaphore(hunt("n"), permits, Refusals::Exact, make));
    assert!(run(1).contains("there are more than 1 permits"));
    assert!(run(3).contains("2 of 3 permits are left"));
}

/// Looks, and takes, in two steps.
struct Racy {
    free: AtomicUsize,
    is_exact: bool,
}

struct Permit<'a>(&'a Racy);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, SeqCst);
    }
}

impl TrySemaphore for Racy {
    type Permit<'a> = Permit<'a>;

    fn try_acquire(&self) -> Option<Permit<'_>> {
        if self.is_exact {
            // Two that come at once are both refused, though there is one.
            let before = self.free.fetch_sub(1, SeqCst);
            yield_now();
            if before == 0 || before > usize::MAX / 2 {
                self.free.fetch_add(1, SeqCst);
                return None;
            }
            return Some(Permit(self));
        }
        let free = self.free.load(SeqCst).checked_sub(1)?;
        yield_now();
        self.free.store(free, SeqCst);
        Some(Permit(self))
    }
}

#[test]
fn permits_that_are_taken_in_two_steps_are_found() {
    let make = || Racy { free: AtomicUsize::new(1), is_exact: false };
    for refusals in [Refusals::Exact, Refusals::Spurious] {
        message(conformance::semaphore(hunt("two steps"), 1, refusals, make));
    }
}

/// No permit is made up or lost, and yet some that are free are refused.
#[test]
fn a_permit_that_is_refused_though_it_is_there_is_found() {
    let make = || Racy { free: AtomicUsize::new(1), is_exact: true };
    let text = message(conformance::semaphore(hunt("exact"), 1, Refusals::Exact, make));
    assert!(text.contains("not linearizable") && text.contains("-> Refused-"), "{text}");
    let spurious = Stress::new("spurious");
    conformance::semaphore(spurious, 1, Refusals::Spurious, make).unwrap();
}

/// What waits is put through the suite by what it offers beside.
struct Channel {
    to: mpsc::Sender<u64>,
    from: TokioMutex<mpsc::Receiver<u64>>,
}

impl TryQueue for Channel {
    fn try_push(&self, value: u64) -> Result<(), u64> {
        self.to.try_send(value).map_err(mpsc::error::TrySendError::into_inner)
    }

    fn try_pop(&self) -> Option<u64> {
        self.from.blocking_lock().try_recv().ok()
    }
}

/// It is never full here: a sender of tokio's takes its place first, and its value shows later. Two
/// senders between the two steps let a third find a channel of two full, and a receiver empty,
/// for which there is no order; `ThreadSanitizer` is slow enough to show it.
#[test]
fn a_channel_of_tokio_is_a_queue() {
    let make = || {
        let (to, from) = mpsc::channel(1024);
        Channel { to, from: TokioMutex::new(from) }
    };
    conformance::queue(Stress::new("channel"), None, make).unwrap();
}
