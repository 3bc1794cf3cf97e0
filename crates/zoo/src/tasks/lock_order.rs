//! Two locks that are taken in either order.

use crate::{
    peers::everywhere,
    specimen::{Kind, Source, Specimen, Variant},
};
use tokio::{join, sync::Mutex, task::yield_now};

pub(crate) const SPECIMEN: Specimen = Specimen {
    name: "lock-order",
    kind: Kind::Async,
    source: Source::GitHub("databendlabs/databend", 17986),
    about: "two transfers in opposite directions each hold the lock that the other one wants",
    tests: everywhere!(scenario),
};

struct Bank([Mutex<i64>; 2]);

impl Bank {
    async fn transfer(&self, from: usize, to: usize, amount: i64, variant: Variant) {
        let in_order = variant.has_bug() || from < to;
        let (first, second) = if in_order { (from, to) } else { (to, from) };
        let mut a = self.0[first].lock().await;
        yield_now().await; // Writes it down.
        let mut b = self.0[second].lock().await;
        let amount = if in_order { amount } else { -amount };
        *a -= amount;
        *b += amount;
    }
}

async fn scenario(variant: Variant) {
    let bank = Bank([Mutex::new(100), Mutex::new(100)]);
    join!(bank.transfer(0, 1, 30, variant), bank.transfer(1, 0, 10, variant));
    assert_eq!(*bank.0[0].lock().await, 80);
    assert_eq!(*bank.0[1].lock().await, 120);
}
