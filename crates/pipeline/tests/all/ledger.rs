//! Items that know how many of them are alive, and panics that do not fill the log.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
}

/// An item of the ledger; cannot be copied, so that it is delivered or dropped once.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: usize,
    ledger: Ledger,
}

impl Ledger {
    pub(crate) fn item(&self, id: usize) -> Item {
        self.0.made.fetch_add(1, SeqCst);
        let alive = self.0.alive.fetch_add(1, SeqCst) + 1;
        self.0.most.fetch_max(alive, SeqCst);
        Item { id, ledger: self.clone() }
    }

    pub(crate) fn items(&self, count: usize) -> impl Iterator<Item = Item> + Send + use<> {
        let ledger = self.clone();
        (0..count).map(move |id| ledger.item(id))
    }

    pub(crate) fn made(&self) -> usize {
        self.0.made.load(SeqCst)
    }

    pub(crate) fn alive(&self) -> usize {
        self.0.alive.load(SeqCst)
    }

    pub(crate) fn most_alive(&self) -> usize {
        self.0.most.load(SeqCst)
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.ledger.0.alive.fetch_sub(1, SeqCst);
    }
}

/// Panics on purpose. The message is not printed.
pub(crate) fn planned_panic(id: usize) -> ! {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.starts_with("planned")) {
                usual(info);
            }
        }));
    });
    panic!("planned panic of {id}")
}

/// Polls `future` up to `polls` times, and then drops it: `None` if it had not ended.
pub(crate) async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
