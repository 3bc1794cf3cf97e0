//! The script against the model.

use super::{
    super::state::{Ask, Basis, MAX_INSTANCES, Mine, View},
    RedisStore,
};
use crate::state::Tally;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use tidegate_testkit::{RedisServer, Seed};

/// Of a few instances that know the record, an older one, or none; at times that are near each other.
#[tidegate_testkit::test(real_io)]
async fn the_script_is_the_model() {
    let server = RedisServer::start().unwrap();
    let store = RedisStore::new(server.address()).unwrap();
    let mut rng = Seed::new(7).rng();
    let mut changes = 0;
    for round in 0..8 {
        let (mut view, key) = (View::default(), format!("model {round}"));
        let (mut now, mut known) = (1_800_000_000_000_000_u64, [None::<Basis>; 4]);
        for seq in 0..250 {
            let mut draw = |most: u64| rng.next_u64() % most;
            now = if draw(20) == 0 { now - draw(3000) } else { now + draw(600) };
            let instance = draw(4);
            let mine = match draw(12) {
                0 => Mine::Watching,
                1 => Mine::Reset,
                2..5 => Mine::Open { left: draw(3) * 500 },
                5..8 => Mine::Probing { lease: 1000, asks: draw(2) == 0 },
                _ => Mine::Closed,
            };
            let basis = match draw(8) {
                0 => None,
                1 => Some(Basis { run: draw(3), epoch: draw(3) }),
                _ => known[usize::try_from(instance).unwrap()],
            };
            let mut tally = || Tally { calls: 20 + draw(9), failures: draw(9), slow: draw(9) };
            let parts = (0..3).map(|n| (n * 700, tally())).collect();
            let seq = if draw(5) == 0 { seq / 2 } else { seq };
            let (fresh, digest, hold) = (draw(99), draw(2), 1500 + 500 * instance);
            let ask = Ask { instance, seq, fresh, basis, mine, hold, digest, parts };
            let expected = view.exchange(now, &ask);
            let said = store.exchange_at(&key, &ask, Some(now)).await.unwrap();
            assert_eq!(said, expected, "{round} {now} {ask:?}");
            let new = expected.stand.map(|(basis, _)| basis);
            changes += usize::from(new != known[usize::try_from(instance).unwrap()]);
            known[usize::try_from(instance).unwrap()] = new;
        }
    }
    assert!(changes > 200, "{changes}");
}

/// So many are kept, and who is one too many is told.
#[tidegate_testkit::test(real_io)]
async fn the_script_keeps_as_many_as_the_model() {
    const NOW: u64 = 1_800_000_000_000_000;
    let server = RedisServer::start().unwrap();
    let store = RedisStore::new(server.address()).unwrap();
    let (mut view, mut basis, mut unheard) = (View::default(), None, 0);
    for instance in 0..=MAX_INSTANCES as u64 + 1 {
        let parts = vec![(1500, Tally { calls: 20, failures: instance, slow: 3 })];
        let mine = if instance == 1 { Mine::Watching } else { Mine::Closed };
        let digest = u64::MAX - instance % 2;
        let ask = Ask { instance, seq: 1, fresh: 5, basis, mine, hold: 2000, digest, parts };
        let expected = view.exchange(NOW, &ask);
        assert_eq!(store.exchange_at("full", &ask, Some(NOW)).await.unwrap(), expected);
        basis = expected.stand.map(|(basis, _)| basis);
        unheard += u64::from(expected.is_heard == Some(false));
    }
    assert_eq!(unheard, 1, "the first has made the record, and told nothing");
}

/// Polls it up to `polls` times and drops it: whether it had not ended by then.
async fn is_dropped_after(polls: usize, exchange: impl Future) -> bool {
    let (mut exchange, mut left) = (pin!(exchange), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(true);
        }
        left -= 1;
        exchange.as_mut().poll(cx).map(|_| false)
    })
    .await
}

/// What was dropped was sent or was not; sent again, its numbers count once.
#[tidegate_testkit::test(real_io)]
async fn cancel_exchange_at_counts_once_what_is_sent_again() {
    const NOW: u64 = 1_800_000_000_000_000;
    let server = RedisServer::start().unwrap();
    let parts = vec![(1500, Tally { calls: 20, failures: 7, slow: 3 })];
    let ask = |instance, seq, basis, parts| {
        let (fresh, mine) = (5, Mine::Closed);
        Ask { instance, seq, fresh, basis, mine, hold: 2000, digest: 0, parts }
    };
    let first = ask(1, 1, None, Vec::new());
    let mut view = View::default();
    // Numbers are those of a record that is known.
    let basis = view.exchange(NOW, &first).stand.map(|(basis, _)| basis);
    let (mine, other) = (ask(1, 2, basis, parts), ask(2, 1, basis, Vec::new()));
    let unsaid = view.clone().exchange(NOW, &other);
    view.exchange(NOW, &mine);
    let expected = view.exchange(NOW, &other);
    assert_ne!(unsaid, expected, "its numbers are told");
    for is_connected in [false, true] {
        let mut dropped = 0;
        for polls in 0.. {
            let key = format!("{is_connected} {polls}");
            let mut store = RedisStore::new(server.address()).unwrap();
            store.exchange_at(&key, &first, Some(NOW)).await.unwrap();
            if !is_connected {
                store = RedisStore::new(server.address()).unwrap();
            }
            if !is_dropped_after(polls, store.exchange_at(&key, &mine, Some(NOW))).await {
                break;
            }
            dropped += 1;
            store.exchange_at(&key, &mine, Some(NOW)).await.unwrap();
            let said = store.exchange_at(&key, &other, Some(NOW)).await.unwrap();
            assert_eq!(said, expected, "connected: {is_connected}, after {polls} polls");
        }
        assert!(dropped >= 2, "{dropped}");
    }
}
