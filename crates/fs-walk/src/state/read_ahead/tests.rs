use super::*;

type Ahead = ReadAhead<&'static str, Vec<u32>>;

fn add(ahead: &Ahead, jobs: &[&'static str]) -> Vec<Key> {
    ahead.add(None, jobs.to_vec())
}

#[test]
fn readers_go_in_the_order_of_the_emitter() {
    let ahead = Ahead::new(10);
    let keys = add(&ahead, &["a", "b", "c"]);
    let (a, _) = ahead.next().expect("room");
    let (b, _) = ahead.next().expect("room");
    assert_eq!((a, b), (keys[0], keys[1]));
    // The second is done first: what is below it comes after what is below the first.
    let below_b = ahead.add(Some(b), vec!["b/1", "b/2"]);
    assert_eq!(ahead.complete(b, vec![], 0), None);
    let below_a = ahead.add(Some(a), vec!["a/1", "a/2"]);
    assert_eq!(ahead.complete(a, vec![], 0), None);
    assert_eq!(ahead.next(), Some((below_a[0], "a/1")));
    assert_eq!(ahead.take(a), Taken::Listing(vec![]));
    assert_eq!(ahead.take(below_a[1]), Taken::Job("a/2"), "unread: the emitter reads it");
    add(&ahead, &["a/2/x"]);
    let rest: Vec<_> = (0..4).map(|_| ahead.next().expect("room").1).collect();
    assert_eq!(rest, ["a/2/x", "b/1", "b/2", "c"]);
    assert!(ahead.is_being_read(below_b[1]));
}

#[test]
fn a_full_window_sends_a_reader_away_unless_the_emitter_waits() {
    let ahead = Ahead::new(3);
    let keys = add(&ahead, &["a", "b"]);
    let (a, job) = ahead.next().expect("room");
    assert_eq!(ahead.progress(a, 3, 3), Advice::Go, "up to the window");
    assert_eq!(ahead.readable(), 0, "the window is full");
    assert_eq!(ahead.progress(a, 1, 4), Advice::Leave);
    assert_eq!(ahead.leave(a, job), None);
    assert_eq!(ahead.readable(), 1, "what was read of it is gone");
    assert_eq!(ahead.take(a), Taken::Job("a"), "left to the emitter");

    let (b, _) = ahead.next().expect("room");
    assert_eq!(b, keys[1]);
    if let Some(Place::Reading { wanted }) = lock(&ahead.state).places.get(b) {
        *wanted = true;
    }
    assert_eq!(ahead.progress(b, 100, 100), Advice::Go, "the emitter waits for it");
    assert_eq!(ahead.complete(b, vec![1], 100), None);
    assert_eq!(ahead.take(b), Taken::Listing(vec![1]));
    assert_eq!(lock(&ahead.state).buffered, 0);
}

#[test]
fn a_discarded_place_takes_nothing_and_leaves_nothing() {
    let ahead = Ahead::new(10);
    let keys = add(&ahead, &["a", "b"]);
    let (a, _) = ahead.next().expect("room");
    assert_eq!(ahead.progress(a, 2, 2), Advice::Go);
    assert_eq!(ahead.discard(a), (None, None));
    assert_eq!(ahead.complete(a, vec![1, 2], 2), Some(vec![1, 2]), "handed back");
    assert_eq!(ahead.discard(keys[1]), (None, Some("b")));
    let state = lock(&ahead.state);
    assert_eq!((state.buffered, state.pending, state.places.len()), (0, 0, 0));
}

#[test]
fn the_table_does_not_grow_with_places_the_emitter_took() {
    let ahead = Ahead::new(10);
    for _ in 0..10_000 {
        let keys = add(&ahead, &["a"]);
        assert_eq!(ahead.take(keys[0]), Taken::Job("a"));
    }
    assert_eq!(lock(&ahead.state).places.len(), 0);
}

/// Every place is read once, whatever the schedule, in the order of the emitter.
#[test]
fn random_schedules_keep_the_order_and_the_window() {
    for seed in 1..200_u64 {
        let mut random = seed;
        let mut next = move |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let ahead = ReadAhead::<u64, (u64, Vec<Key>)>::new(4);
        // A job is a number; below `n` are `n / 3` twice.
        let below = |n: u64| if n > 2 { vec![n / 3, n / 3] } else { Vec::new() };
        let mut expected = Vec::new();
        let mut stack = vec![400];
        while let Some(n) = stack.pop() {
            expected.push(n);
            stack.extend(below(n));
        }
        let (mut seen, mut reading) = (Vec::new(), Vec::new());
        let mut wanted = ahead.add(None, vec![400]);
        while let Some(&key) = wanted.last() {
            match next(3) {
                0 => reading.extend(ahead.help()),
                1 if !reading.is_empty() => {
                    let (key, job) = reading.swap_remove(0);
                    if ahead.progress(key, 2, 2) == Advice::Leave {
                        assert_eq!(ahead.leave(key, job), None);
                    } else {
                        let keys = ahead.add(Some(key), below(job));
                        assert!(ahead.complete(key, (job, keys), 2).is_none());
                    }
                }
                _ if ahead.is_being_read(key) => {}
                _ => {
                    wanted.pop();
                    let mut keys = match ahead.take(key) {
                        Taken::Job(job) => {
                            seen.push(job);
                            ahead.add(None, below(job))
                        }
                        Taken::Listing((job, keys)) => {
                            seen.push(job);
                            keys
                        }
                        Taken::Stopped => panic!("nobody stopped it"),
                    };
                    keys.reverse();
                    wanted.extend(keys);
                }
            }
            assert!(lock(&ahead.state).buffered <= 4, "seed {seed}");
        }
        assert_eq!(seen, expected, "seed {seed}");
        let state = lock(&ahead.state);
        assert_eq!((state.places.len(), state.buffered, state.pending), (0, 0, 0), "seed {seed}");
    }
}
