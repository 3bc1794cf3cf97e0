//! The script against the model.

use super::{
    super::state::{Ask, Basis, Mine, View},
    RedisStore,
};
use crate::state::Tally;
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
            let ask = Ask { instance, seq, fresh: draw(99), basis, mine, hold: 2000, parts };
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
