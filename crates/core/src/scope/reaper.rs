//! Root scopes that were dropped while something in them lived. No scope above them waits, so the
//! reaper does: it counts them for each runtime, and whoever wants to can wait for the last.

use crate::panic::quietly;
use std::{collections::HashMap, sync::LazyLock};
use tokio::{
    runtime::{Handle, Id},
    sync::watch,
};

/// The runtime that a root scope was opened in; none, if that was outside of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Home(Option<Id>);

impl Home {
    pub(crate) fn here() -> Self {
        Self(Handle::try_current().ok().map(|runtime| runtime.id()))
    }
}

/// How many there are, without entries for none.
static ORPHANS: LazyLock<watch::Sender<HashMap<Home, usize>>> =
    LazyLock::new(|| watch::channel(HashMap::new()).0);

pub(super) fn adopt(home: Home) {
    // It wakes who waits, whose wakers may panic: this is run by destructors.
    quietly(|| ORPHANS.send_modify(|orphans| *orphans.entry(home).or_default() += 1));
}

pub(super) fn reap(home: Home) {
    let give_back = |orphans: &mut HashMap<Home, usize>| {
        let left = orphans.get(&home).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            orphans.remove(&home);
        } else {
            orphans.insert(home, left);
        }
    };
    quietly(|| ORPHANS.send_modify(give_back));
}

/// How many root scopes of the current runtime were dropped and have children that did not end
/// yet. Their children are being aborted; a [snapshot](crate::inspect::Snapshot::take) names them.
#[must_use]
pub fn orphans() -> usize {
    ORPHANS.borrow().get(&Home::here()).copied().unwrap_or(0)
}

/// Waits until the current runtime has no [orphans]: at the end of a test, or of a program, when
/// nothing may be left. [`App::run`](crate::App::run) does so.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::{convert::Infallible, future::pending, time::Duration};
/// use tidegate_core::{Cx, join_orphans, orphans, scope};
///
/// let job = scope("job", async |cx: Cx<Infallible>| {
///     cx.spawn("child", pending::<Result<(), _>>());
///     pending::<Result<(), _>>().await
/// });
/// let dropped = tokio::time::timeout(Duration::from_millis(1), job).await;
/// assert!(dropped.is_err() && orphans() == 1, "the child is told, and did not run since");
/// join_orphans().await;
/// assert_eq!(orphans(), 0);
/// # }
/// ```
///
/// # Cancel safety
///
/// Cancel safe: dropping the future loses nothing. Tested by `joining_orphans`.
pub async fn join_orphans() {
    let home = Home::here();
    // The sender is a static: it is never closed.
    let _ = ORPHANS.subscribe().wait_for(|orphans| !orphans.contains_key(&home)).await;
}
