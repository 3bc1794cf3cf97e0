//! What changed between two snapshots.

use super::{Snapshot, Work, WorkState};
use std::{
    collections::HashMap,
    fmt::{self, Display, Formatter},
};

/// What changed from one [`Snapshot`] to a later one; made by [`Snapshot::since`].
#[derive(Clone, Debug)]
pub struct Difference<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    appeared: Vec<usize>,
    ended: Vec<usize>,
    unmoved: Vec<usize>,
}

impl Snapshot {
    /// What changed since an earlier snapshot: a leak is what has appeared and should
    /// have ended since, and what is stuck is what did not move.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::convert::Infallible;
    /// use tidegate_core::{Cx, scope};
    ///
    /// let server = scope("server", async |cx: Cx<Infallible>| {
    ///     let before = cx.tree();
    ///     let request = cx.clone();
    ///     cx.spawn("request", async move { Ok(drop(request.cancelled().await)) });
    ///     let after = cx.tree();
    ///     let leaked: Vec<_> = after.since(&before).appeared().map(|work| work.name()).collect();
    ///     assert_eq!(leaked, [&"request".into()]);
    ///     cx.cancel("the example ends");
    ///     Ok(())
    /// });
    /// server.await.unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn since<'a>(&'a self, before: &'a Self) -> Difference<'a> {
        let mut earlier: HashMap<_, _> = before
            .work()
            .iter()
            .enumerate()
            .map(|(index, work)| (work.identity(), index))
            .collect();
        let (mut appeared, mut unmoved) = (Vec::new(), Vec::new());
        for (index, work) in self.work().iter().enumerate() {
            match earlier.remove(&work.identity()) {
                None => appeared.push(index),
                Some(former) if work.is_unmoved(&before.work()[former]) => unmoved.push(index),
                Some(_) => {}
            }
        }
        let mut ended: Vec<_> = earlier.into_values().collect();
        ended.sort_unstable();
        Difference { before, after: self, appeared, ended, unmoved }
    }
}

impl Work {
    /// The number of a record is used again; its place in the row of its siblings is not, until
    /// after four billion of them.
    fn identity(&self) -> (super::WorkId, u32) {
        (self.id, self.turn)
    }

    /// Whether nothing is known to have happened since: the same poll, or none.
    fn is_unmoved(&self, before: &Self) -> bool {
        self.state() == before.state()
            && self.state() != WorkState::Joining
            && self.polls() == before.polls()
            && self.waits().len() == before.waits().len()
            && self.waits().iter().zip(before.waits()).all(|(now, then)| now.is_same(then))
    }
}

impl<'a> Difference<'a> {
    /// What is in the later snapshot alone.
    pub fn appeared(&self) -> impl Iterator<Item = &'a Work> {
        let after = self.after;
        self.appeared.iter().map(|index| &after.work()[*index])
    }

    /// What is in the earlier snapshot alone: it has ended.
    pub fn ended(&self) -> impl Iterator<Item = &'a Work> {
        let before = self.before;
        self.ended.iter().map(|index| &before.work()[*index])
    }

    /// What is in both and did not move: it waits for the same, and was not polled. Without a
    /// [`Watch`](super::Watch) polls are not counted, and what waits for nothing that has a label seems
    /// not to move.
    pub fn unmoved(&self) -> impl Iterator<Item = &'a Work> {
        let after = self.after;
        self.unmoved.iter().map(|index| &after.work()[*index])
    }
}

/// A line for each that is new, gone or did not move, marked by `-`, `+` or `=`.
impl Display for Difference<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lines = [
            ('-', self.before, &self.ended),
            ('+', self.after, &self.appeared),
            ('=', self.after, &self.unmoved),
        ];
        for (mark, snapshot, indices) in lines {
            for index in indices {
                writeln!(f, "{mark} {} {}", snapshot.path(*index), snapshot.work()[*index])?;
            }
        }
        Ok(())
    }
}
