//! The queue against one that keeps everything in one list and looks at all of it, and what it promises by
//! itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{
    Asked, Codel, Count, Joined, Place, Queue, Rules,
    queue_oracle::{Both, Op, op},
};
use crate::{AcquireError, Order, Priority};
use proptest::prelude::*;

pub(super) const CLASSES: [Priority; 4] =
    [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];

fn rules(capacity: u32) -> Rules {
    Rules {
        capacity,
        max_waiting: usize::MAX,
        order: Order::Fifo,
        codel: None,
        patience: Some(3),
        typical_hold: None,
    }
}

fn asked(weight: u32) -> Asked {
    Asked { weight, priority: Priority::Normal, deadline: u64::MAX }
}

pub(super) type Ids = Queue<Option<u32>>;

impl Ids {
    /// Gives permits back, as the word does before the queue hears of it.
    pub(super) fn give_back(&mut self, now: u64, weight: u32) {
        let Count { capacity, in_use } = self.count();
        assert!(in_use >= weight, "more comes back than was taken");
        self.set_count(Count { capacity, in_use: in_use - weight });
        self.came_back(now, weight);
    }
}

pub(super) fn join(
    queue: &mut Ids,
    now: u64,
    asked: Asked,
    id: u32,
) -> Result<Joined, AcquireError> {
    queue.join(now, asked, &mut Some(id))
}

/// Who has entered since the last look.
fn entered(queue: &mut Ids) -> Vec<u32> {
    let settled = queue.take_settled();
    settled.filter(|settled| settled.end.is_ok()).filter_map(|settled| settled.waiter).collect()
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Fifo),
        Just(Order::Lifo),
        (0..4_usize).prop_map(|beyond| Order::AdaptiveLifo { beyond }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_does_what_a_list_does(
        ops in prop::collection::vec(op(), 1..120),
        order in orders(),
        patience in prop::option::of(1..4_u32),
        max_waiting in 0..9_usize,
        codel in prop::option::of((0..6_u64, 1..20_u64)),
    ) {
        let codel = codel.map(|(target, interval)| Codel::new(target, interval));
        let mut both = Both::new(&Rules { max_waiting, order, codel, patience, ..rules(5) });
        // Once closed there is little to see: at most once, and late.
        let (last, ops) = ops.split_last().unwrap();
        for op in ops.iter().filter(|op| !matches!(op, Op::Close)).chain([last]) {
            both.play(*op);
        }
        // Whatever happened, all permits come back, and nobody waits for none.
        both.release_all();
        prop_assert!(both.queue.is_drained());
    }

    /// With patience, no class is passed over more often than that, and once for each other class.
    #[test]
    fn nobody_is_starved_by_the_more_urgent(
        patience in 1..9_u32,
        joins in prop::collection::vec(0..4_usize, 1..300),
    ) {
        let mut queue = Ids::new(&Rules { patience: Some(patience), ..rules(1) });
        queue.try_take(1).unwrap();
        let mut waiting = [0; 4];
        let mut passed = [0; 4];
        for (n, class) in joins.into_iter().enumerate() {
            let asked = Asked { weight: 1, priority: CLASSES[class], deadline: u64::MAX };
            join(&mut queue, 0, asked, u32::try_from(class).unwrap()).unwrap();
            waiting[class] += 1;
            if n % 3 == 0 {
                continue;
            }
            queue.give_back(0, 1);
            let went = entered(&mut queue)[0] as usize;
            waiting[went] -= 1;
            passed[went] = 0;
            for class in (0..4).filter(|class| *class != went) {
                passed[class] = if waiting[class] > 0 { passed[class] + 1 } else { 0 };
                prop_assert!(class == 0 || passed[class] <= patience + 3, "{class}: {passed:?}");
            }
        }
    }
}

/// cowprotocol/services#4804 and polars#27924: more than there is hangs nobody, at any time.
#[test]
fn more_than_the_capacity_is_an_error_at_once_and_after_a_resize() {
    let mut queue = Ids::new(&rules(4));
    let error = join(&mut queue, 0, asked(5), 0).unwrap_err();
    assert_eq!(error, AcquireError::TooLarge { weight: 5, capacity: 4 });
    queue.try_take(4).unwrap();
    let Ok(Joined::Waits(key)) = join(&mut queue, 0, asked(4), 1) else { panic!("it is full") };
    let Ok(Joined::Waits(small)) = join(&mut queue, 0, asked(3), 2) else { panic!("it is full") };
    queue.resize(0, 3);
    assert_eq!(queue.collect(key), Some(Err(AcquireError::TooLarge { weight: 4, capacity: 3 })));
    assert_eq!(queue.collect(small), None, "the one behind it can wait");
    queue.give_back(0, 4);
    assert_eq!(queue.collect(small), Some(Ok(())));
}

/// Shrunk below what is in use: it drains, and nothing enters meanwhile.
#[test]
fn a_smaller_capacity_drains() {
    let mut queue = Ids::new(&rules(10));
    queue.try_take(8).unwrap();
    join(&mut queue, 0, asked(2), 1).unwrap();
    queue.resize(0, 3);
    assert_eq!((queue.count().in_use, queue.count().free()), (10, 0));
    assert!(matches!(join(&mut queue, 0, asked(1), 2), Ok(Joined::Waits(_))));
    for _ in 0..7 {
        queue.give_back(0, 1);
        assert_eq!(entered(&mut queue), []);
    }
    queue.give_back(0, 1);
    assert_eq!(entered(&mut queue), [2]);
    queue.resize(0, 10);
    assert_eq!((queue.count().in_use, queue.count().free()), (3, 7));
}

#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let mut queue = Ids::new(&rules(4));
    queue.try_take(4).unwrap();
    for (id, weight) in [(0, 4), (1, 1), (2, 1)] {
        join(&mut queue, 0, asked(weight), id).unwrap();
    }
    for _ in 0..3 {
        queue.give_back(0, 1);
        assert_eq!(entered(&mut queue), [], "the large one goes first, and needs all");
    }
    queue.give_back(0, 1);
    assert_eq!(entered(&mut queue), [0]);
    queue.give_back(0, 4);
    assert_eq!(entered(&mut queue), [1, 2], "and as many go as can");
}

#[test]
fn who_came_last_goes_first_while_the_line_is_long() {
    let rules = Rules { order: Order::AdaptiveLifo { beyond: 2 }, ..rules(1) };
    let mut queue = Ids::new(&rules);
    queue.try_take(1).unwrap();
    for id in 0..5 {
        join(&mut queue, 0, asked(1), id).unwrap();
    }
    let order: Vec<_> = (0..5)
        .flat_map(|_| {
            queue.give_back(0, 1);
            entered(&mut queue)
        })
        .collect();
    assert_eq!(order, [4, 3, 2, 0, 1]);
}

#[test]
fn the_urgent_take_the_places_of_others_when_the_line_is_full() {
    let mut queue = Ids::new(&Rules { max_waiting: 2, ..rules(1) });
    queue.try_take(1).unwrap();
    let with = |priority| Asked { priority, ..asked(1) };
    for (id, priority) in [(0, Priority::Low), (1, Priority::Low)] {
        join(&mut queue, 0, with(priority), id).unwrap();
    }
    let full = join(&mut queue, 0, with(Priority::Low), 2).unwrap_err();
    assert!(matches!(full, AcquireError::QueueFull { waiting: 2, .. }));
    join(&mut queue, 0, with(Priority::High), 3).unwrap();
    let displaced: Vec<_> =
        queue.take_settled().map(|settled| (settled.waiter, settled.end.is_err())).collect();
    assert_eq!(displaced, [(Some(1), true)], "the last of the least urgent");
    queue.give_back(0, 1);
    assert_eq!(entered(&mut queue), [3]);
}

/// As many come as can be served, one a millisecond, to a line that is too long already: CoDel makes it
/// short again.
#[test]
fn a_standing_line_is_made_short() {
    const MS: u64 = 1_000_000;
    let run = |codel: Option<Codel>| {
        let mut queue = Ids::new(&Rules { codel, ..rules(1) });
        queue.try_take(1).unwrap();
        let mut now = 0;
        for id in 0..200 {
            join(&mut queue, now, asked(1), id).unwrap();
        }
        let mut shed = 0;
        for id in 200..5000 {
            now += MS;
            join(&mut queue, now, asked(1), id).unwrap();
            queue.give_back(now, 1);
            shed += queue.take_settled().filter(|settled| settled.end.is_err()).count();
        }
        (queue.waiting(), shed)
    };
    assert_eq!(run(None), (200, 0), "it stands for ever");
    let (waiting, shed) = run(Some(Codel::new(5 * MS, 100 * MS)));
    assert!(waiting <= 10 && shed <= 200, "{waiting} wait, {shed} were shed");
}

/// How fast permits come back is known by those that come while somebody waits.
#[test]
fn a_pause_is_no_slowness() {
    const MS: u64 = 1_000_000;
    let mut queue = Ids::new(&rules(1));
    queue.try_take(1).unwrap();
    let mut told = None;
    for round in 0..4 {
        // Two wait for ten milliseconds each, and then nobody does for a minute.
        let start = round * 60_000 * MS;
        for id in 0..3 {
            join(&mut queue, start, asked(1), id).unwrap();
        }
        for n in 1..=3 {
            told = queue.try_take(1).unwrap_err().retry_after().or(told);
            queue.give_back(start + n * 10 * MS, 1);
            assert_eq!(entered(&mut queue).len(), 1);
        }
    }
    // Those who waited, and the one who asks.
    let longest = std::time::Duration::from_millis(40);
    assert!(told.is_some_and(|told| told <= longest), "{told:?}");
}

/// A line that ends because they give up has ended.
#[test]
fn who_gives_up_ends_a_standing_line() {
    const MS: u64 = 1_000_000;
    let codel = Some(Codel::new(5 * MS, 100 * MS));
    let mut queue = Ids::new(&Rules { codel, ..rules(1) });
    queue.try_take(1).unwrap();
    for round in 0..4 {
        let start = round * 60_000 * MS;
        join(&mut queue, start, asked(1), 0).unwrap();
        let Ok(Joined::Waits(other)) = join(&mut queue, start, asked(1), 1) else {
            panic!("it is full")
        };
        queue.give_back(start + 10 * MS, 1);
        assert_eq!(entered(&mut queue), [0], "nobody is shed");
        queue.cancel(start + 20 * MS, other);
    }
}

#[test]
fn what_is_known_of_the_time_is_told() {
    const MS: u64 = 1_000_000;
    let millis = |error: AcquireError| error.retry_after().map(|time| time.as_millis());
    let mut queue = Ids::new(&Rules { max_waiting: 2, ..rules(1) });
    queue.try_take(1).unwrap();
    for id in 0..2 {
        join(&mut queue, 0, asked(1), id).unwrap();
    }
    assert_eq!(millis(join(&mut queue, 0, asked(1), 9).unwrap_err()), None, "nothing is known");
    queue.give_back(10 * MS, 1);
    join(&mut queue, 10 * MS, asked(1), 3).unwrap();
    queue.give_back(20 * MS, 1);
    join(&mut queue, 20 * MS, asked(1), 4).unwrap();
    // Two wait, and one comes back each ten milliseconds.
    assert_eq!(millis(join(&mut queue, 20 * MS, asked(1), 9).unwrap_err()), Some(30));

    let mut queue = Ids::new(&Rules { max_waiting: 0, typical_hold: Some(60 * MS), ..rules(3) });
    queue.try_take(2).unwrap();
    let error = join(&mut queue, 0, asked(3), 0).unwrap_err();
    assert_eq!(millis(error), Some(40), "two of three are missing");
}

/// Permits that were taken for somebody who has given up were not held: they tell nothing about the pace.
#[test]
fn what_was_handed_out_and_not_collected_is_no_pace() {
    const MS: u64 = 1_000_000;
    let mut queue = Ids::new(&Rules { max_waiting: 4, ..rules(1) });
    queue.try_take(1).unwrap();
    let place = |queue: &mut Ids, id| match join(queue, 0, asked(1), id).unwrap() {
        Joined::Waits(key) => key,
        Joined::Enters => panic!("there is no room"),
    };
    let [_, second, third, _] = [0, 1, 2, 3].map(|id| place(&mut queue, id));
    queue.give_back(10 * MS, 1);
    queue.give_back(20 * MS, 1);
    // Two that were let in are gone before they know.
    for key in [second, third] {
        assert_eq!(queue.cancel(20 * MS, key), Place::Entered);
    }
    assert_eq!(entered(&mut queue), [0, 1, 2, 3], "the next has entered each time");
    for id in 4..8 {
        place(&mut queue, id);
    }
    let error = join(&mut queue, 20 * MS, asked(1), 9).unwrap_err();
    assert_eq!(error.retry_after().map(|time| time.as_millis()), Some(50), "five of 10 ms");
}

#[test]
fn nobody_is_displaced_for_who_need_not_wait() {
    let mut queue = Ids::new(&Rules { max_waiting: 1, ..rules(10) });
    queue.try_take(5).unwrap();
    join(&mut queue, 0, Asked { priority: Priority::Low, ..asked(8) }, 1).unwrap();
    join(&mut queue, 0, Asked { priority: Priority::Critical, ..asked(1) }, 2).unwrap();
    let ends: Vec<_> = queue.take_settled().map(|settled| (settled.waiter, settled.end)).collect();
    assert_eq!(ends, [(Some(2), Ok(()))]);
}

#[test]
fn lifo_displaces_who_would_go_last() {
    let mut queue = Ids::new(&Rules { max_waiting: 2, order: Order::Lifo, ..rules(1) });
    queue.try_take(1).unwrap();
    for id in [0, 1] {
        join(&mut queue, 0, Asked { priority: Priority::Low, ..asked(1) }, id).unwrap();
    }
    join(&mut queue, 0, Asked { priority: Priority::High, ..asked(1) }, 2).unwrap();
    let ends: Vec<_> = queue.take_settled().map(|settled| settled.waiter).collect();
    assert_eq!(ends, [Some(0)]);
}

#[test]
fn codel_sheds_the_least_urgent() {
    const MS: u64 = 1_000_000;
    let mut queue = Ids::new(&Rules { codel: Some(Codel::new(5 * MS, 100 * MS)), ..rules(1) });
    queue.try_take(1).unwrap();
    let of = |priority| Asked { priority, ..asked(1) };
    for _ in 0..50 {
        join(&mut queue, 0, of(Priority::Low), 3).unwrap();
    }
    // There is always somebody less urgent in the line.
    let mut shed = [0; 4];
    for n in 1..400 {
        let now = n * 10 * MS;
        join(&mut queue, now - 10 * MS, of(Priority::Critical), 0).unwrap();
        join(&mut queue, now - 10 * MS, of(Priority::Low), 3).unwrap();
        queue.give_back(now, 1);
        for settled in queue.take_settled().filter(|settled| settled.end.is_err()) {
            shed[settled.waiter.unwrap() as usize] += 1;
        }
    }
    assert!(shed[0] == 0 && shed[3] > 10, "{shed:?}");
}
